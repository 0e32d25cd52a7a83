// Issues a key, as an operator's program does.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { call } from './gateway.mjs';

const DEADLINE = 5; // seconds for each attempt
const ATTEMPTS = 4;

// Nobody knows then whether the key was issued: the reply did not come.
const UNCLEAR = [grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED];

/** A new key and its token, whatever happens to a reply on the way. */
export async function issue(client, adminToken, fields) {
  // One id for all attempts: the server answers each of them with the same key.
  const request = { request_id: randomUUID(), ...fields };
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${adminToken}`);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call(client, 'CreateKey', request, { metadata, seconds: DEADLINE });
    } catch (error) {
      if (!UNCLEAR.includes(error.code) || attempt === ATTEMPTS) throw error;
      await sleep(100 * 2 ** attempt);
    }
  }
}

// What is needed of google/rpc/status.proto and error_details.proto.
const { root } = protobuf.parse(`
  syntax = "proto3";
  package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message FieldViolation { string field = 1; string description = 2; }
  message BadRequest { repeated FieldViolation field_violations = 1; }
`);

/**
 * The reason that keyward gives for an error, and the fields it is about. There
 * is none if the error is not keyward's, but the connection's.
 */
export function whatWentWrong(error) {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const read = (type, from) => root.lookupType(`google.rpc.${type}`).decode(from);
  let reason = null;
  const fields = {};
  for (const { typeUrl, value } of bytes ? read('Status', bytes).details : []) {
    if (typeUrl.endsWith('/google.rpc.ErrorInfo')) {
      const info = read('ErrorInfo', value);
      if (info.domain === 'keyward') reason = info.reason;
    } else if (typeUrl.endsWith('/google.rpc.BadRequest')) {
      for (const each of read('BadRequest', value).fieldViolations) {
        fields[each.field] = each.description;
      }
    }
  }
  return { reason, fields };
}
