// Owns the file that says whose a checkpoint store is: its name, its text, and what is said when it cannot be used. Where
// it lies, a store knows.

import { unsupported } from '#checkpoint/manifest.ts';
import { openSealedJson, sealJson } from '#checkpoint/sealed-json.ts';
import { StreamError } from '#runtime/std/errors.ts';

export const INSTALLATION_FILE = 'installation.json';

const FORMAT = 1;
const UNKNOWN = 'the installation of this checkpoint store is unknown';

export function encodeInstallation(installation: string): Uint8Array {
  return sealJson({ format: FORMAT, installation });
}

/** The installation in the file; `where` names it. Errors: checkpoint-corrupt, checkpoint-unsupported. */
export function decodeInstallation(bytes: Uint8Array, where: string): string {
  const value = openSealedJson(bytes) as { readonly format: unknown; readonly installation: string } | null;
  if (value === null) {
    throw new StreamError(
      'checkpoint-corrupt',
      `${where} fails its checksum: ${UNKNOWN}`,
      'restore it from a backup; to begin anew, give Millrace an empty place for checkpoints together with another namespace',
    );
  }
  if (value.format !== FORMAT) {
    throw unsupported(where, value.format, FORMAT);
  }
  return value.installation;
}
