// Logs in with openid-client, for load.py: node load_openid_client.mjs ISSUER COUNT
// Signatures of ID tokens are checked, as everywhere else here; openid-client leaves them out unless told.
import * as client from 'openid-client'

const [issuer, count] = process.argv.slice(2)
const config = await client.discovery(
  new URL(issuer),
  'urn:benchmark',
  { id_token_signed_response_alg: 'ES256' },
  client.ClientSecretPost('a-secret-at-which-the-provider-does-not-look'),
  { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
)
let peak = 0
const watching = setInterval(() => { peak = Math.max(peak, process.memoryUsage().rss) }, 250)
globalThis.gc?.()
const idle = process.memoryUsage().rss
const used = process.cpuUsage()
const began = performance.now()
const logins = await Promise.allSettled(
  Array.from({ length: Number(count) }, async (_, nth) => {
    const order = await client.initiateBackchannelAuthentication(config, {
      scope: 'openid',
      login_hint: `sub:ssn:${209999000000 + nth}`,
      acr_values: 'urn:grn:authn:se:bankid',
      binding_message: 'Hello',
    })
    const tokens = await client.pollBackchannelAuthenticationGrant(config, order)
    return tokens.claims().ssn === String(209999000000 + nth)
  }),
)
const spent = process.cpuUsage(used)
clearInterval(watching)
const good = logins.filter((login) => login.value === true).length
console.log(JSON.stringify({
  completed: good,
  cpu: (spent.user + spent.system) / 1e6,
  wall: (performance.now() - began) / 1000,
  rss: peak - idle,
}))
