// A client of the library is challenged with its first call: it sends that without a body, and again with its body and a
// token. It remembers one body a client, so that of several first calls at once one is sent again without any, or with
// another's. Here each request keeps its own, which travels with a token and never without.
import type { KeyClientOptions } from '@azure/keyvault-keys'

type Policies = NonNullable<KeyClientOptions['additionalPolicies']>
type Request = Parameters<Policies[number]['policy']['sendRequest']>[0]

/** For the options of one client or many. The first stands before the library's own answer to a challenge, the second after it. */
export function requestBodyPolicies(): Policies {
  const bodies = new WeakMap<Request, Request['body']>()
  return [
    {
      position: 'perCall',
      policy: {
        name: 'keepRequestBody',
        sendRequest: (request, next) => {
          bodies.set(request, request.body)
          return next(request)
        },
      },
    },
    {
      position: 'perRetry',
      policy: {
        name: 'restoreRequestBody',
        sendRequest: (request, next) => {
          const body = bodies.get(request)
          if (body !== undefined && body !== null)
            request.body = request.headers.has('authorization') ? body : null
          return next(request)
        },
      },
    },
  ]
}
