// A CIBA provider that nobody in this project wrote (the npm package oidc-provider), on loopback, with people in it
// who do as their names say.
//
//     node provider.mjs FOLDER        FOLDER holds the node_modules with oidc-provider
//
// Prints one line of JSON, {"issuer": ...}, when it is ready and lives until its standard input is closed.
// For the tests only, beside the provider's own endpoints:
//     POST /__clients     registers a client; the body is its metadata
//     POST /__rotate      from now on everything is signed with new keys
//     GET  /__counters    what the clients really sent, see witness.mjs

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

import { Witness } from './witness.mjs';

console.info = console.error; // The package greets on standard output, which belongs to the ready line.

const resolve = createRequire(path.resolve(process.argv[2], 'package.json')).resolve;
const { Provider, errors } = await import(pathToFileURL(resolve('oidc-provider')));

// --- People -------------------------------------------------------------------------------------------------------
// A person's name is the script: WORD or WORD-after-SECONDS, then `@` and a label that makes it unique.
//     approve, deny     answer after that many seconds
//     impostor          approves, and the ID token names somebody else
//     fail              the provider gives the transaction up
//     never             lets it expire
//     forgotten         the same, and the provider drops its record on the spot
//     coded             approves, and has a user code
//     unknown           is nobody

const USER_CODE = '0427';
const NONCE_SECRET = randomBytes(32);
const SECONDS = /-after-(\d+(?:\.\d+)?)@/;

const wordOf = (person) => /^[a-z]+/.exec(person)?.[0] ?? '';

async function approve(provider, request, account) {
  const grant = new provider.Grant({ accountId: account.accountId, clientId: request.clientId });
  grant.addOIDCScope('openid');
  await provider.backchannelResult(request, await grant.save(), { authTime: Math.floor(Date.now() / 1000) });
}

const ANSWERS = {
  approve,
  impostor: approve,
  coded: approve,
  deny: (provider, request) => provider.backchannelResult(request, new errors.AccessDenied()),
  fail: (provider, request) => provider.backchannelResult(request, new errors.TransactionFailed()),
};

const ciba = {
  enabled: true,
  deliveryModes: ['poll'],
  processLoginHint: async (ctx, hint) => (wordOf(hint) === 'unknown' ? undefined : hint),
  processLoginHintToken: async () => undefined,
  validateRequestContext: async () => {},
  async verifyUserCode(ctx, account, code) {
    if (wordOf(account.accountId) !== 'coded') return;
    if (code === undefined) throw new errors.MissingUserCode();
    if (code !== USER_CODE) throw new errors.InvalidUserCode();
  },
  async triggerAuthenticationDevice(ctx, { jti }, { accountId }) {
    const { provider } = ctx.oidc;
    const answer = ANSWERS[wordOf(accountId)];
    if (answer === undefined) return;
    setTimeout(async () => {
      const request = await provider.BackchannelAuthenticationRequest.find(jti);
      await answer(provider, request, { accountId });
    }, Number(SECONDS.exec(accountId)?.[1] ?? 0) * 1000);
  },
};

// --- Storage ------------------------------------------------------------------------------------------------------
// The package's adapter contract in memory. One store for every Provider, as several machines would share a database.

const KEEP_EXPIRED_MS = 60_000; // An expired request is remembered for a while: `expired_token`, not `invalid_grant`.
const store = new Map();

class Store {
  constructor(model) {
    this.model = model;
  }

  #key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    const extra = wordOf(payload.accountId ?? '') === 'forgotten' ? 0 : KEEP_EXPIRED_MS;
    const until = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000 + extra;
    store.set(this.#key(id), { payload, until });
  }

  async find(id) {
    const { payload, until } = store.get(this.#key(id)) ?? {};
    return until > Date.now() ? payload : undefined;
  }

  async consume(id) {
    store.get(this.#key(id)).payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    store.delete(this.#key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of store) if (payload.grantId === grantId) store.delete(key);
  }
}

// --- Keys and providers -------------------------------------------------------------------------------------------

function newKeys() {
  const pairs = [
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ed25519'),
  ];
  return pairs.map(({ privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), use: 'sig' }));
}

function newProvider(issuer, keys) {
  const provider = new Provider(issuer, {
    adapter: Store,
    jwks: { keys },
    cookies: { keys: ['no browser ever comes here'] },
    clientAuthMethods: ['private_key_jwt', 'client_secret_basic', 'client_secret_post', 'client_secret_jwt'],
    clientDefaults: {
      grant_types: ['urn:openid:params:grant-type:ciba'],
      response_types: [],
      redirect_uris: [],
      backchannel_token_delivery_mode: 'poll',
    },
    claims: { openid: ['sub', 'person'] },
    // Whoever proves a key must do so with a nonce; nobody has to.
    features: {
      ciba,
      devInteractions: { enabled: false },
      requestObjects: { enabled: true },
      dPoP: { enabled: true, nonceSecret: NONCE_SECRET, requireNonce: () => true },
    },
    findAccount: async (ctx, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, person: wordOf(id) === 'impostor' ? 'somebody@else' : id }),
    }),
    ttl: {
      AccessToken: 120,
      BackchannelAuthenticationRequest: (ctx) => Number(ctx?.oidc?.params.requested_expiry ?? 120),
      Grant: 600,
      IdToken: 600,
    },
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  return provider;
}

async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

// --- The front door -----------------------------------------------------------------------------------------------
// Node's own keep-alive is left alone: it hangs up after 5 idle seconds, which is also the interval. A client that
// reuses such a connection a moment too late loses its request.

const front = http.createServer();
const issuer = `http://127.0.0.1:${await listen(front)}`;
const witness = new Witness(issuer);
const oldKeys = newKeys();
const [before, after] = await Promise.all(
  // After a rotation the new keys sign and the old ones still verify; before it the new ones are nowhere to be seen.
  [oldKeys, [...newKeys(), ...oldKeys]].map((keys) => listen(http.createServer(newProvider(issuer, keys).callback()))),
);
let backend = before;

const controls = {
  async 'POST /__clients'(metadata) {
    await new Store('Client').upsert(metadata.client_id, metadata);
    return {};
  },
  async 'POST /__rotate'() {
    backend = after;
    return {};
  },
  async 'GET /__counters'() {
    return witness.report();
  },
};

front.on('request', async (request, response) => {
  try {
    const control = controls[`${request.method} ${request.url}`];
    if (control === undefined) {
      await witness.relay(request, response, backend);
      return;
    }
    let body = '';
    for await (const chunk of request) body += chunk;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(await control(body === '' ? {} : JSON.parse(body))));
  } catch (error) {
    console.error(error);
    response.destroy();
  }
});

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer }));
