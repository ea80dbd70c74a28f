// A CIBA provider that nobody in this project wrote (the npm package oidc-provider), on loopback, with people in it
// who do as their names say.
//
//     node provider.mjs FOLDER CONFIGURATION [SERVER AUTHORITY]
//
// FOLDER holds the node_modules with oidc-provider; CONFIGURATION is one of those below. SERVER is a file of PEM with the
// certificate of a server and its key, AUTHORITY one with the certificate of whoever issues those of clients.
//
// Prints one line of JSON, {"issuer": ..., "mtls": ...}, when it is ready and lives until its standard input is closed.
// For the tests only, beside the provider's own endpoints:
//     POST /__clients     registers a client; the body is its metadata
//     POST /__rotate      from now on everything is signed with new keys
//     GET  /__counters    what the clients really sent, see witness.mjs

import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

import { CERTIFICATE, VERIFIED, Witness } from './witness.mjs';

console.info = console.error; // The package greets on standard output, which belongs to the ready line.

const [folder, configurationName, serverFile, authorityFile] = process.argv.slice(2);
const resolve = createRequire(path.resolve(folder, 'package.json')).resolve;
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
const ACCOUNTS = 'https://accounts.bank.example'; // An access token for it is a JWT, and says what it is bound to.
const NONCE_SECRET = randomBytes(32);
const SECONDS = /-after-(\d+(?:\.\d+)?)@/;

const wordOf = (person) => /^[a-z]+/.exec(person)?.[0] ?? '';

async function approve(provider, request, account) {
  const grant = new provider.Grant({ accountId: account.accountId, clientId: request.clientId });
  grant.addOIDCScope('openid');
  grant.addResourceScope(ACCOUNTS, 'openid');
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
      try {
        await answer(provider, request, { accountId });
      } catch (error) {
        console.error(error); // A ping that nobody took: the answer stands, and can be fetched.
      }
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

// --- Configurations -----------------------------------------------------------------------------------------------
// What one provider demands, and the other does not. Everything else is the same.

const METHODS = ['private_key_jwt', 'client_secret_basic', 'client_secret_post', 'client_secret_jwt'];
const LONGEST_REQUEST = 3600; // Seconds, FAPI-CIBA section 5.2.2.
const BANK_ALGORITHMS = ['PS256', 'ES256']; // FAPI Read and Write section 8.6.
const ENCRYPTIONS = ['RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW'];

const CONFIGURATIONS = {
  // Whoever proves a key must do so with a nonce; nobody has to.
  plain: {
    clientAuthMethods: METHODS,
    features: {
      dPoP: { enabled: true, nonceSecret: NONCE_SECRET, requireNonce: () => true },
    },
  },

  // FAPI-CIBA: HTTPS, a second address for client certificates, signed requests, and tokens that are bound.
  fapi: {
    isSecure: true,
    clientAuthMethods: ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
    enabledJWA: {
      clientAuthSigningAlgValues: BANK_ALGORITHMS,
      idTokenSigningAlgValues: BANK_ALGORITHMS,
      requestObjectSigningAlgValues: BANK_ALGORITHMS,
    },
    clientDefaults: {
      id_token_signed_response_alg: 'PS256',
      backchannel_authentication_request_signing_alg: 'PS256',
    },
    features: {
      fapi: { enabled: true, profile: '1.0 Final' },
      dPoP: { enabled: true, nonceSecret: NONCE_SECRET, requireNonce: () => true },
      requestObjects: {
        enabled: true,
        async assertJwtClaimsAndHeader(ctx, { exp, nbf, iat, jti }) {
          if ([exp, nbf, iat].every(Number.isInteger) && exp - nbf <= LONGEST_REQUEST && typeof jti === 'string') return;
          throw new errors.InvalidRequestObject('a request has exp, nbf, iat and jti, and is valid for an hour at most');
        },
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => certificateOf(ctx)?.toString(),
        certificateAuthorized: (ctx) => ctx.get(VERIFIED) === 'true',
        certificateSubjectMatches: (ctx, property, expected) => (
          property === 'tls_client_auth_subject_dn'
          // RFC 4514 section 2.1: what is most specific comes first.
          && certificateOf(ctx).subject.split('\n').reverse().join(',') === expected
        ),
      },
    },
  },

  // Rounds what it acknowledges, encrypts what it says of people, and pings.
  closed: {
    clientAuthMethods: METHODS,
    enabledJWA: { idTokenEncryptionAlgValues: ENCRYPTIONS, userinfoEncryptionAlgValues: ENCRYPTIONS },
    clientDefaults: {
      grant_types: ['urn:openid:params:grant-type:ciba', 'refresh_token'],
      backchannel_token_delivery_mode: 'ping',
    },
    features: {
      ciba: { ...ciba, deliveryModes: ['poll', 'ping'] },
      encryption: { enabled: true },
      jwtUserinfo: { enabled: true },
    },
    rotateRefreshToken: () => true,
    // The package itself refuses to call anybody on this machine.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    // It promises up to five seconds that it does not give, as text.
    acknowledge: ({ expires_in: seconds, ...rest }) => (
      { ...rest, expires_in: String(5 * Math.ceil(seconds / 5)), interval: 2 }
    ),
  },
};

function certificateOf(ctx) {
  const encoded = ctx.get(CERTIFICATE);
  return encoded === '' ? undefined : new X509Certificate(Buffer.from(encoded, 'base64'));
}

function newProvider(issuer, keys, mtls) {
  const { isSecure, acknowledge, features, clientDefaults, ...differences } = CONFIGURATIONS[configurationName];
  const provider = new Provider(issuer, {
    adapter: Store,
    jwks: { keys },
    cookies: { keys: ['no browser ever comes here'] },
    clientDefaults: {
      grant_types: ['urn:openid:params:grant-type:ciba'],
      response_types: [],
      redirect_uris: [],
      backchannel_token_delivery_mode: 'poll',
      ...clientDefaults,
    },
    claims: { openid: ['sub', 'person'] },
    features: {
      ciba,
      devInteractions: { enabled: false },
      requestObjects: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: 'openid', accessTokenFormat: 'jwt' }),
        useGrantedResource: () => true,
      },
      ...features,
    },
    findAccount: async (ctx, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, person: wordOf(id) === 'impostor' ? 'somebody@else' : id }),
    }),
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    ttl: {
      AccessToken: 120,
      BackchannelAuthenticationRequest: (ctx) => Number(ctx?.oidc?.params.requested_expiry ?? 120),
      Grant: 600,
      IdToken: 600,
      RefreshToken: 600,
    },
    discovery: mtls && {
      mtls_endpoint_aliases: {
        backchannel_authentication_endpoint: `${mtls}/backchannel`,
        token_endpoint: `${mtls}/token`,
        userinfo_endpoint: `${mtls}/me`,
      },
    },
    ...differences,
  });
  provider.proxy = true; // The front door says by which scheme somebody came.
  if (acknowledge !== undefined) {
    provider.use(async (ctx, next) => {
      await next();
      if (ctx.path === '/backchannel' && ctx.body?.auth_req_id !== undefined) ctx.body = acknowledge(ctx.body);
    });
  }
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

const { isSecure = false } = CONFIGURATIONS[configurationName];
const scheme = isSecure ? 'https' : 'http';
const pair = isSecure ? { cert: readFileSync(serverFile), key: readFileSync(serverFile) } : {};
const front = isSecure ? https.createServer(pair) : http.createServer();
const issuer = `${scheme}://127.0.0.1:${await listen(front)}`;
// It asks for certificates and takes any: the provider decides what one is worth.
const frontForCertificates = isSecure
  ? https.createServer({ ...pair, ca: readFileSync(authorityFile), requestCert: true, rejectUnauthorized: false })
  : undefined;
const mtls = isSecure ? `https://127.0.0.1:${await listen(frontForCertificates)}` : undefined;
const witness = new Witness(issuer);
const oldKeys = newKeys();
const [before, after] = await Promise.all(
  // After a rotation the new keys sign and the old ones still verify; before it the new ones are nowhere to be seen.
  [oldKeys, [...newKeys(), ...oldKeys]].map((keys) => listen(http.createServer(newProvider(issuer, keys, mtls).callback()))),
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

async function serve(request, response) {
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
}

front.on('request', serve);
frontForCertificates?.on('request', serve);

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer, mtls }));
