// Owns showing a configuration without its secrets: whatever is named like one, headers, and what an address carries.
// Rather hides too much. Invariant: nothing of a hidden value is left, not even its length.

const HIDDEN = '***';
/** Names of secrets, written in any way: lower case, without what separates words. */
const SECRET_NAME =
  /passw|passphrase|pwd|secret|token|credential|authorization|cookie|signature|webhook|(api|access|account|auth|private|signing|encryption|session|shared|routing|integration|service)key|^(auth|key|pass|sasl|dsn)$/;
/** What authenticates a caller, whatever it is named. */
const SECRET_VALUE = /^(?:basic|bearer)\s+\S|-----BEGIN [A-Z ]*PRIVATE KEY/i;

/** The same, in plain data, with secrets replaced. */
export function hideSecrets(value: unknown): unknown {
  if (typeof value === 'string') return SECRET_VALUE.test(value) ? HIDDEN : hideInAddresses(value);
  if (Array.isArray(value)) return value.map(hideSecrets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, held]) => [name, shown(name, held)]));
}

function shown(name: string, held: unknown): unknown {
  if (held === null || held === undefined || typeof held === 'boolean') return held;
  const plain = name.toLowerCase().replaceAll(/[^a-z]/g, '');
  if (SECRET_NAME.test(plain)) return HIDDEN;
  if (plain === 'headers' && typeof held === 'object')
    return Object.fromEntries(Object.keys(held).map((key) => [key, HIDDEN]));
  return hideSecrets(held);
}

/** User and password before a host, and parameters of a query that are named like secrets. */
function hideInAddresses(text: string): string {
  return text
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^/?#\s]*@/gi, `$1${HIDDEN}@`)
    .replaceAll(/([?&;])([^=&#;\s]+)=([^&#;\s]*)/g, (all, before: string, name: string) =>
      SECRET_NAME.test(name.toLowerCase().replaceAll(/[^a-z]/g, '')) ? `${before}${name}=${HIDDEN}` : all,
    );
}
