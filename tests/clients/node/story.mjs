// What the tests have the clients of docs/clients.md do. Takes where things are
// as JSON on stdin, and tells on stdout how it went.

import { readFileSync } from 'node:fs';
import grpc from '@grpc/grpc-js';
import { actOn, call, connect, decide } from './gateway.mjs';
import { issue, whatWentWrong } from './issue.mjs';

const PATIENCE = 30; // seconds, on a machine that is busy with other tests
const given = JSON.parse(readFileSync(0, 'utf8'));
const checks = connect('KeyCheck', given.check, given);
const admin = connect('KeyAdmin', given.admin, given);
const told = {};

async function decided(client, header, scopes) {
  const { status, who } = await decide(client, header, 'clients', scopes, PATIENCE);
  return [status, who?.principal ?? ''];
}

async function refused(client, adminToken, fields) {
  try {
    await issue(client, adminToken, fields);
  } catch (error) {
    const { reason, fields } = whatWentWrong(error);
    return [grpc.status[error.code], reason, fields];
  }
}

const key = { workspace: 'clients', principal: 'user:ada', name: 'story', scopes: ['a:read'] };
const issued = await issue(admin, given.token, key);
const header = `Bearer ${issued.token}`;
told['allowed'] = await decided(checks, header, ['a:read']);
told['scope'] = await decided(checks, header, ['a:write']);
told['none'] = await decided(checks, undefined, []);
told['long'] = await decided(checks, 'x'.repeat(2_000_000), []);
told['unknown outcome'] = actOn({}).status;
const nobody = connect('KeyCheck', given.nobody, given);
told['nobody there'] = await decided(nobody, header, []);
if (given.ca) {
  const stranger = connect('KeyCheck', given.check, { ca: given.ca });
  told['no certificate'] = await decided(stranger, header, ['a:read']);
  const outsider = connect('KeyAdmin', given.admin, { ca: given.ca });
  told["no operator's certificate"] = (await refused(outsider, given.token, key)).slice(1);
}
told['typo'] = await refused(admin, given.token, { ...key, scopes: ['a:raed'] });
told['no admin'] = await refused(admin, issued.token, key);
const metadata = new grpc.Metadata();
metadata.set('authorization', `Bearer ${given.token}`);
await call(admin, 'RevokeKey', { key_id: issued.key.id }, { metadata, seconds: PATIENCE });
told['revoked'] = await decided(checks, header, ['a:read']);
console.log(JSON.stringify(told));
// Connections would keep it running.
process.exit();
