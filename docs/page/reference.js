// The reference: Swagger UI over the document of the very server that the page came from.
'use strict'

// Stands in the forms as the Idempotency-Key, so that they can be sent; what is sent instead is a fresh one.
const prefilled = '00000000-0000-4000-8000-000000000000'

// `crypto.randomUUID` is there for https and localhost only.
function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = (bytes[6] & 0x0f) | 0x40
  bytes[8] = (bytes[8] & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function show(spec) {
  // Calls go where the page is from: the browser would let them go nowhere else.
  spec.servers = [{ url: new URL('..', document.baseURI).href.replace(/\/$/, '') }]
  spec.components.parameters['Idempotency-Key'].example = prefilled
  SwaggerUIBundle({
    spec,
    dom_id: '#reference',
    deepLinking: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    // A production key is not left behind in the browser.
    persistAuthorization: '/v1/sandbox/clock' in spec.paths,
    requestInterceptor(request) {
      if (request.headers['Idempotency-Key'] === prefilled) {
        request.headers['Idempotency-Key'] = freshKey()
      }
      return request
    },
  })
}

// Swagger UI is dark if its class says so, whatever the system prefers.
const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', follow)
follow()

fetch('../v1/openapi.json')
  .then((response) => response.json())
  .then(show)
  .catch((error) => {
    document.getElementById('reference').textContent = `The document cannot be shown: ${error}`
  })
