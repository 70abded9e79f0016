// Owns showing text that may hold words of others, such as a part of a bad record, on a terminal: what would steer it is
// shown and not done. Lines stay lines.

const STEERING = /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

export function visibleText(text: string): string {
  return text.replaceAll(STEERING, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
