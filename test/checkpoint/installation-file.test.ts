// The file that says whose a checkpoint store is: read as it was written, or refused with what to do.

import { expect, test } from 'vitest';
import { decodeInstallation, encodeInstallation } from '#checkpoint/installation-file.ts';
import { sealJson } from '#checkpoint/sealed-json.ts';

function refusal(bytes: Uint8Array): unknown {
  try {
    return decodeInstallation(bytes, "'a/installation.json'");
  } catch (error) {
    return error;
  }
}

test('the installation comes back as it was written', () => {
  expect(decodeInstallation(encodeInstallation('01I'), 'a')).toBe('01I');
});

test('any flipped bit, and a file cut short anywhere, are refused', () => {
  const whole = encodeInstallation('01I');
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bytes = Uint8Array.from(whole);
    bytes[bit >> 3] ^= 1 << (bit & 7);
    expect(refusal(bytes), `bit ${bit}`).toMatchObject({
      code: 'checkpoint-corrupt',
      remedy: expect.stringMatching(/^restore it from a backup/),
    });
  }
  for (let length = 0; length < whole.length; length++) {
    expect(refusal(whole.slice(0, length))).toMatchObject({ code: 'checkpoint-corrupt' });
  }
});

test('the file of a newer version is whole, and not for this one', () => {
  expect(refusal(sealJson({ format: 2, installation: '01I' }))).toMatchObject({
    code: 'checkpoint-unsupported',
    message: expect.stringMatching(/^'a\/installation\.json' has format 2, this version reads 1$/),
    remedy: expect.stringMatching(/^start with the version of Millrace that wrote it/),
  });
});
