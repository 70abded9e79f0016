// Owns giving an object a property under a name that data brought. Invariant: every name is a name; none reaches the
// prototype, as `__proto__` does when it is set in the usual way.

export function setOwn(object: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') object[name] = value;
  else Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}
