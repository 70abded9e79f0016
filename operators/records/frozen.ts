// Owns making a value unchangeable, all the way down: what state keeps is shared with those who gave it, what several
// steps take with each other. Bytes cannot be frozen.

// 0.1 µs for four plain fields, 0.4 µs with an object and an array inside.
export function frozen<V>(value: V): V {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value) || ArrayBuffer.isView(value)) return value;
  Object.freeze(value);
  if (Array.isArray(value)) for (let i = 0; i < value.length; i++) frozen(value[i]);
  else freezeFields(value);
  return value;
}

function freezeFields<V extends object>(value: V): void {
  for (const name in value) {
    const inner = value[name];
    if (typeof inner === 'object' && Object.hasOwn(value, name)) frozen(inner);
  }
}
