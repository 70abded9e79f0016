// Owns making the receiver of a remote write out of how a job reaches it.

import type { TargetConnection } from '#jobs/plan.ts';
import { HttpReceiver } from '#runtime/effect/http-receiver.ts';
import { systemClock } from '#runtime/std/clock.ts';

/** Remote write 1.0. */
const REMOTE_WRITE_HEADERS = {
  'content-type': 'application/x-protobuf',
  'content-encoding': 'snappy',
  'x-prometheus-remote-write-version': '0.1.0',
  'user-agent': 'millrace',
};

export function receiverOf({ ca, certificate, headers, key, timeoutMs, url }: TargetConnection): HttpReceiver {
  const sent = { ...headers, ...REMOTE_WRITE_HEADERS };
  const tls = { ca: ca ?? undefined, certificate: certificate ?? undefined, key: key ?? undefined };
  return new HttpReceiver({ url, headers: sent, ...tls, timeoutMs, clock: systemClock });
}
