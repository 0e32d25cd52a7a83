// Asks keyward about the header of a request, as a gateway does.

import { readFileSync } from 'node:fs';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const DEADLINE = 0.5; // seconds for a check, all attempts included

// A check changes nothing: it can be asked again at once.
const RETRIES = {
  methodConfig: [
    {
      name: [{ service: 'keyward.v1.KeyCheck' }],
      retryPolicy: {
        maxAttempts: 3,
        initialBackoff: '0.02s',
        maxBackoff: '0.2s',
        backoffMultiplier: 2,
        retryableStatusCodes: ['UNAVAILABLE'],
      },
    },
  ],
};

const files = ['keyward/v1/key_check.proto', 'keyward/v1/key_admin.proto'];
const options = {
  includeDirs: ['proto'],
  keepCase: true, // fields are called as in the protos; others would be ignored silently
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
};
const { keyward } = grpc.loadPackageDefinition(protoLoader.loadSync(files, options));

/**
 * A client of KeyCheck or KeyAdmin at "host:port", to be kept for as long as
 * the process lives. It connects again by itself. Without a CA, nothing is
 * encrypted.
 */
export function connect(service, target, { ca, certificate, key } = {}) {
  const read = (path) => (path ? readFileSync(path) : null);
  const credentials = ca
    ? grpc.credentials.createSsl(read(ca), read(key), read(certificate))
    : grpc.credentials.createInsecure();
  const settings = { 'grpc.service_config': JSON.stringify(RETRIES) };
  return new keyward.v1[service](target, credentials, settings);
}

/** Calls a method; `seconds` is how long it may take. */
export function call(client, method, request, { metadata = new grpc.Metadata(), seconds }) {
  const deadline = new Date(Date.now() + seconds * 1000);
  return new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline }, (error, response) =>
      error ? reject(error) : resolve(response),
    );
  });
}

/**
 * Whether a request with this header may pass. `status` is 200 to pass it on,
 * or what to answer with; `log` is for the log alone.
 */
export async function decide(client, header, workspace, scopes, seconds = DEADLINE) {
  const request = {
    // As it came, but no longer than what can be good.
    credential: (header ?? '').slice(0, 1025),
    workspace,
    required_scopes: scopes,
  };
  try {
    return actOn(await call(client, 'Check', request, { seconds }));
  } catch (error) {
    // There is no verdict. It is no denial, and must not look like one.
    return { status: 503, log: `could not decide: ${grpc.status[error.code] ?? error}` };
  }
}

/** What a verdict means. */
export function actOn({ outcome, allowed, denied }) {
  switch (outcome) {
    case 'allowed':
      return { status: 200, who: allowed, log: allowed.key_id };
    case 'denied':
      // For the log alone: the client is told the status and no more.
      return { status: denied.http_status, log: `denied: ${denied.reason} ${denied.key_id}` };
    default:
      // A newer keyward has an outcome that is not known here.
      return { status: 403, log: 'denied: unknown outcome' };
  }
}
