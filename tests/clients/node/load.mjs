// Calls keyward without a pause, in many ways at once, and notes each call that
// fails. Takes where things are as JSON in the first line of stdin, says on stdout
// when all have been answered once, and in the end, which is when stdin ends, how
// it went.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { call } from './gateway.mjs';

const PATIENCE = 30; // seconds, on a machine that is busy with other tests
const CALLS = 5; // by a client that comes and goes
const AHEAD = 20; // questions of a conversation that have no answer yet

const files = ['keyward/v1/key_check.proto', 'keyward/v1/key_admin.proto'];
const options = { includeDirs: ['proto'], keepCase: true, longs: Number, defaults: true, oneofs: true };
const { keyward } = grpc.loadPackageDefinition(protoLoader.loadSync(files, options));

const stdin = createInterface({ input: process.stdin });
const [line] = await once(stdin, 'line');
const given = JSON.parse(line);
let ending = false;
stdin.on('close', () => (ending = true));

const metadata = new grpc.Metadata();
metadata.set('authorization', `Bearer ${given.token}`);
const question = { credential: given.header, required_scopes: ['a'] };
const failures = [];
const counted = {};
let connections = 0;

// Each has a connection of its own, and what fails is not tried again.
function connect(service, target) {
  const [certificate, key] = given.identities[connections % given.identities.length];
  connections += 1;
  const read = (path) => readFileSync(path);
  const credentials = grpc.credentials.createSsl(read(given.ca), read(key), read(certificate));
  const settings = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0 };
  return new keyward.v1[service](target, credentials, settings);
}

async function check(client) {
  const answer = await call(client, 'Check', question, { seconds: PATIENCE });
  assert.equal(answer.outcome, 'allowed');
}

async function listKeys(client) {
  const answer = await call(client, 'ListKeys', { page_size: 10 }, { metadata, seconds: PATIENCE });
  assert(answer.keys.length);
}

async function stay(name, service, target, work) {
  const client = connect(service, target);
  while (!ending) {
    await work(client);
    counted[name] += 1;
  }
  client.close();
}

async function comeAndGo(name, service, target, work) {
  while (!ending) {
    const client = connect(service, target);
    for (let number = 0; number < CALLS; number += 1) await work(client);
    client.close();
    counted[name] += 1;
  }
}

async function converse(name, service, target) {
  const client = connect(service, target);
  const conversation = client.CheckStream();
  const ask = (id) => conversation.write({ id, check: question });
  for (let id = 0; id < AHEAD; id += 1) ask(id);
  let next = 0;
  for await (const { id, result } of conversation) {
    assert.equal(id, next);
    assert.equal(result.verdict.outcome, 'allowed');
    counted[name] += 1;
    if (ending) conversation.end();
    else ask(next + AHEAD);
    next += 1;
  }
  assert(ending, 'the conversation was ended');
  client.close();
}

const gateway = ['KeyCheck', given.check, check];
const reader = ['KeyAdmin', given.admin, listKeys];
const works = [
  ['checks', stay, gateway],
  ['checks again', stay, gateway],
  ['gateways', comeAndGo, gateway],
  ['other gateways', comeAndGo, gateway],
  ['reads', stay, reader],
  ['readers', comeAndGo, reader],
  ['answers', converse, gateway],
];
const running = works.map(([name, work, where]) => {
  counted[name] = 0;
  return work(name, ...where).catch((error) => failures.push(`${name}: ${error}`));
});
while (!Object.values(counted).every((count) => count) && !failures.length) await sleep(10);
console.log('started');
await Promise.all(running);
console.log(JSON.stringify({ failures, counted }));
// Connections would keep it running.
process.exit();
