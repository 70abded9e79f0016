// Owns asking other processes of the installation over their admin API. Bounded in time and size; a process that does not
// answer is a fault that passes, and nothing is tried again here.

import { encodePeer, openAnswer, PEER_BYTES_MAX, PEER_PATH, PEER_TYPE } from '#runtime/http/peer-words.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** Asks one other process. */
export type AskPeer = (address: string, question: unknown, timeoutMs: number) => Promise<unknown>;

/** Of an answer: a page of state, or what a thousand tasks say. */
const ANSWER_BYTES_MAX = 4 * PEER_BYTES_MAX;

/**
 * @param token of the installation, null while it is not known
 * Errors of the function: peer-unreachable; those that the other process answers.
 */
export function peerClient(token: () => string | null): AskPeer {
  return async (address, question, timeoutMs) => {
    const secret = token();
    if (secret === null) throw unreachable(address, 'the installation is not known yet');
    let bytes: Uint8Array;
    try {
      const answer = await fetch(new URL(PEER_PATH, address), {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': PEER_TYPE },
        body: new Uint8Array(encodePeer(question)),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (answer.status !== 200) throw unreachable(address, `status ${answer.status}`);
      bytes = await readBounded(address, answer);
    } catch (error) {
      if (error instanceof StreamError) throw error;
      const { cause, message } = error as Error;
      throw unreachable(address, cause instanceof Error ? cause.message : message);
    }
    return openAnswer(bytes);
  };
}

async function readBounded(address: string, answer: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body ?? []) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX) throw unreachable(address, `an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function unreachable(address: string, why: string): StreamError {
  return new StreamError(
    'peer-unreachable',
    `the process at ${address} does not answer: ${why}`,
    'look whether it runs, and whether http.advertise is an address that the other processes reach',
  );
}
