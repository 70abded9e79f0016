// A configuration is shown as it is, and no secret with it, wherever it stands.

import { expect, test } from 'vitest';
import { hideSecrets } from '#jobs/admin-configuration.ts';

test('what is no secret is shown as it is', () => {
  const plain = {
    namespace: 'millrace',
    log: { kind: 'kafka', brokers: ['a:9092', 'b:9092'], replication: 3 },
    checkpoints: { kind: 's3', bucket: 'b', endpoint: 'https://s3.example:9000', prefix: 'a/b', region: 'eu' },
    http: { host: '127.0.0.1', port: 8081, advertise: null },
    jobs: [{ name: 'rollups', modulePath: '/a/b.ts', options: { keyBy: ['host'], percentile: 0.5 }, state: 'memory' }],
  };
  expect(hideSecrets(plain)).toEqual(plain);
});

const SECRET = 'hunter2-and-more';

test.each([
  'password',
  'kafkaPassword',
  'sasl_password',
  'passphrase',
  'secretAccessKey',
  'accessKeyId',
  'sessionToken',
  'token',
  'bearer-token',
  'apiKey',
  'API_KEY',
  'x-api-key',
  'credentials',
  'Authorization',
  'cookie',
  'privateKey',
  'key',
  'webhookUrl',
  'client.secret',
  'routingKey',
  'integrationKey',
])('%s is hidden, whatever is in it', (name) => {
  for (const value of [SECRET, [SECRET], { inner: SECRET }, 4711]) {
    const shown = hideSecrets({ deep: [{ [name]: value }] });
    expect(shown).toEqual({ deep: [{ [name]: '***' }] });
  }
  expect(hideSecrets({ [name]: null }), 'that there is none may be known').toEqual({ [name]: null });
});

test.each([
  [`https://user:${SECRET}@host/path`, 'https://***@host/path'],
  [`https://${SECRET}@host`, 'https://***@host'],
  [`postgres://a:${SECRET}p@ss@host:5432/x`, 'postgres://***@host:5432/x'],
  [`host:9092,kafka://u:${SECRET}@b:1`, 'host:9092,kafka://***@b:1'],
  [`https://host/write?db=a&token=${SECRET}&x=1`, 'https://host/write?db=a&token=***&x=1'],
  [`https://host/?api_key=${SECRET}#top`, 'https://host/?api_key=***#top'],
  [`Bearer ${SECRET}`, '***'],
  [`Basic ${SECRET}`, '***'],
  [`-----BEGIN RSA PRIVATE KEY-----\n${SECRET}`, '***'],
])('in %s the secret is hidden', (text, shown) => {
  expect(hideSecrets({ url: text })).toEqual({ url: shown });
  expect(hideSecrets([text])).toEqual([shown]);
});

test('headers are hidden, their names are not', () => {
  expect(hideSecrets({ headers: { 'x-scope-orgid': SECRET, authorization: SECRET } })).toEqual({
    headers: { 'x-scope-orgid': '***', authorization: '***' },
  });
});
