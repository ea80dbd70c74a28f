// The witness: a reverse proxy on loopback that keeps its own record of what a client really sends.
//
// It reads the raw requests before the provider sees them and believes nothing that the client says about itself.
// Everything that a careful client never does is counted by name; a client that behaves leaves every count at zero.

import http from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const CIBA_GRANT = 'urn:openid:params:grant-type:ciba';

// CIBA Core 7.3: what a client must assume when the acknowledgement names no interval.
const DEFAULT_INTERVAL = 5;

// By which it tells the provider which certificate a client presented, and whether the authority has issued it. What a
// client sends under these names goes nowhere.
export const CERTIFICATE = 'x-client-certificate';
export const VERIFIED = 'x-client-verified';

// Each answer takes this long, or two polls that overlap would never be seen together.
const LATENCY_MS = 25;

const STILL_PENDING = new Set(['authorization_pending', 'slow_down']);
const OF_THE_CLIENT = new Set(['invalid_client', 'invalid_dpop_proof', 'use_dpop_nonce']);

export const VIOLATIONS = [
  'replayed_assertion', // a `jti` seen before from this client, at whichever endpoint
  'assertion_without_jti',
  'foreign_audience', // `aud` is anything but the issuer, as one string
  'overlapping_polls', // a poll that arrived while another one for the same auth_req_id had no answer yet
  'poll_after_final_answer',
  'poll_too_early', // under one interval since the acknowledgement or the poll before
  'poll_of_unknown_id', // an auth_req_id that this client was never given
  'prompted_twice', // a second authentication request for one person
  'repeated_parameter',
  'repeated_credentials', // two Authorization headers, or two methods of client authentication in one request
  'json_not_accepted',
  'stray_request', // a path, a method or a content type that CIBA has no use for
];

function payloadOf(jwt) {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString('utf8'));
  } catch {
    return {};
  }
}

function clientIdOf(request, form) {
  const assertion = form.get('client_assertion');
  if (assertion !== null) return payloadOf(assertion).sub ?? '';
  const [scheme, credentials = ''] = (request.headers.authorization ?? '').split(' ');
  if (scheme.toLowerCase() === 'basic') {
    const [id] = Buffer.from(credentials, 'base64').toString('utf8').split(':');
    return new URLSearchParams(`id=${id}`).get('id');
  }
  return form.get('client_id') ?? '';
}

function headerCount(request, name) {
  return request.rawHeaders.filter((field, index) => index % 2 === 0 && field.toLowerCase() === name).length;
}

export class Witness {
  #issuer;

  #clients = new Map();

  #jtis = new Set();

  #transactions = new Map();

  #prompted = new Set();

  #people = new Map();

  #serverErrors = 0;

  constructor(issuer) {
    this.#issuer = issuer;
  }

  // Totals and violations by client, and the answers by person, in the order in which they were given.
  report() {
    return {
      clients: Object.fromEntries(this.#clients),
      people: Object.fromEntries(this.#people),
      server_errors: this.#serverErrors,
    };
  }

  #countsOf(clientId) {
    if (!this.#clients.has(clientId)) {
      const violations = Object.fromEntries(VIOLATIONS.map((name) => [name, 0]));
      this.#clients.set(clientId, { fetches: 0, prompts: 0, polls: 0, refreshes: 0, violations });
    }
    return this.#clients.get(clientId);
  }

  // Notes a request and returns the function that notes its answer.
  observe(request, body, arrivedAt) {
    const path = request.url.split('?')[0];
    if (request.method === 'GET' && ['/.well-known/openid-configuration', '/jwks'].includes(path)) {
      const counts = this.#countsOf('(metadata)');
      counts.fetches += 1;
      if (!this.#acceptsJson(request)) counts.violations.json_not_accepted += 1;
      return () => {};
    }
    if (request.method === 'GET' && request.url === '/me') {
      const { violations } = this.#countsOf('(userinfo)');
      if (!this.#acceptsJson(request)) violations.json_not_accepted += 1;
      if (headerCount(request, 'authorization') !== 1) violations.repeated_credentials += 1;
      return () => {};
    }

    const form = new URLSearchParams(body.toString('utf8'));
    const clientId = clientIdOf(request, form);
    const counts = this.#countsOf(clientId);
    this.#inspect(request, form, clientId, counts.violations);

    if (request.method === 'POST' && request.url === '/token' && form.get('grant_type') === 'refresh_token') {
      counts.refreshes += 1;
      return () => {};
    }
    if (request.method === 'POST' && request.url === '/backchannel') return this.#prompt(form, clientId, counts);
    if (request.method === 'POST' && request.url === '/token' && form.get('grant_type') === CIBA_GRANT) {
      return this.#poll(form, clientId, counts, arrivedAt);
    }
    counts.violations.stray_request += 1;
    return () => {};
  }

  #acceptsJson(request) {
    return (request.headers.accept ?? '').split(',').some((range) => range.trim().startsWith('application/json'));
  }

  #inspect(request, form, clientId, violations) {
    if (!this.#acceptsJson(request)) violations.json_not_accepted += 1;
    if (request.headers['content-type']?.split(';')[0] !== 'application/x-www-form-urlencoded') {
      violations.stray_request += 1;
    }

    const names = [...form.keys()];
    if (new Set(names).size !== names.length) violations.repeated_parameter += 1;

    const credentials = headerCount(request, 'authorization')
      + form.getAll('client_secret').length + form.getAll('client_assertion').length;
    if (credentials > 1) violations.repeated_credentials += 1;

    // A signed request has a `jti` and an `aud` under the same rules.
    for (const assertion of [...form.getAll('client_assertion'), ...form.getAll('request')]) {
      const { jti, aud } = payloadOf(assertion);
      const key = JSON.stringify([clientId, jti]);
      if (typeof jti !== 'string' || jti === '') violations.assertion_without_jti += 1;
      else if (this.#jtis.has(key)) violations.replayed_assertion += 1;
      else this.#jtis.add(key);
      if (aud !== this.#issuer) violations.foreign_audience += 1;
    }
  }

  #prompt(form, clientId, counts) {
    counts.prompts += 1;
    const signed = form.get('request');
    const asked = signed === null ? Object.fromEntries(form) : payloadOf(signed);
    const earlier = asked.id_token_hint ?? null;
    const hint = earlier ?? asked.login_hint ?? null;
    if (this.#prompted.has(hint)) counts.violations.prompted_twice += 1;
    this.#prompted.add(hint);
    const person = earlier === null ? hint : payloadOf(earlier).sub;
    if (!this.#people.has(person)) this.#people.set(person, []);
    const answers = this.#people.get(person);

    return (answer) => {
      answers.push(answer.error ?? 'acknowledged');
      if (answer.auth_req_id === undefined) return;
      this.#transactions.set(answer.auth_req_id, {
        clientId,
        answers,
        intervalMs: (answer.interval ?? DEFAULT_INTERVAL) * 1000,
        lastAt: performance.now(),
        underWay: 0,
        over: false,
      });
    };
  }

  #poll(form, clientId, counts, arrivedAt) {
    const { violations } = counts;
    counts.polls += 1;
    const transaction = this.#transactions.get(form.get('auth_req_id'));
    if (transaction?.clientId !== clientId) {
      violations.poll_of_unknown_id += 1;
      return () => {};
    }
    if (transaction.over) violations.poll_after_final_answer += 1;
    if (transaction.underWay > 0) violations.overlapping_polls += 1;
    if (arrivedAt - transaction.lastAt < transaction.intervalMs) violations.poll_too_early += 1;
    const lastAt = transaction.lastAt;
    transaction.lastAt = arrivedAt;
    transaction.underWay += 1;

    return (answer) => {
      transaction.underWay -= 1;
      transaction.answers.push(answer.error ?? 'tokens');
      // A poll without the nonce that is demanded was none (RFC 9449 section 8): the next one may come at once.
      if (answer.error === 'use_dpop_nonce') transaction.lastAt = lastAt;
      // A refused credential says nothing of the transaction, so it may go on.
      if (!STILL_PENDING.has(answer.error) && !OF_THE_CLIENT.has(answer.error)) transaction.over = true;
    };
  }

  // Serves one request: note it, let `backend` (a port on loopback) answer it, note the answer, hand it on.
  async relay(request, response, backend) {
    const arrivedAt = performance.now();
    const body = await buffer(request);
    const noteAnswer = this.observe(request, body, arrivedAt);
    await sleep(LATENCY_MS);

    const answer = await new Promise((resolve, reject) => {
      const { method, url: path, socket } = request;
      const headers = { ...request.headers, 'x-forwarded-proto': socket.encrypted ? 'https' : 'http' };
      delete headers[CERTIFICATE];
      delete headers[VERIFIED];
      const certificate = socket.encrypted ? socket.getPeerCertificate().raw : undefined;
      if (certificate !== undefined) {
        headers[CERTIFICATE] = certificate.toString('base64');
        headers[VERIFIED] = String(socket.authorized);
      }
      http.request({ host: '127.0.0.1', port: backend, agent: false, method, path, headers }, resolve)
        .on('error', reject)
        .end(body);
    });
    const content = await buffer(answer);
    if (answer.statusCode >= 500) this.#serverErrors += 1;
    noteAnswer(parsed(content));
    const { connection, 'keep-alive': keepAlive, 'transfer-encoding': coding, ...headers } = answer.headers;
    response.writeHead(answer.statusCode, { ...headers, 'content-length': content.length }).end(content);
  }
}

async function buffer(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parsed(content) {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    return {};
  }
}
