// The reference: Swagger UI over the document of the very server that the page came from.
'use strict'

// Stands in the forms as the Idempotency-Key, so that they can be sent; what is sent instead is a fresh one.
const prefilled = '00000000-0000-4000-8000-000000000000'
// Lots that can be ordered now, the dearest first, so that any bid of the examples is below their price.
const lots = 'v1/vehicles?source=glovis,sk,aj,lotte,kcar&auction_status=upcoming&orderable=true'
  + '&sort=price_desc&limit=200'

// `crypto.randomUUID` is there for https and localhost only.
function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = (bytes[6] & 0x0f) | 0x40
  bytes[8] = (bytes[8] & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

// A sandbox in which the examples of the forms can be sent: it finds what an operation needs, or makes it.
class Scene {
  constructor(base, key) {
    this.base = base
    this.key = key
  }

  async call(method, path, body) {
    const headers = { 'x-api-key': this.key }
    if (method !== 'GET') headers['Idempotency-Key'] = freshKey()
    if (body) headers['Content-Type'] = 'application/json'
    const response = await fetch(`${this.base}/${path}`, { method, headers, body: body && JSON.stringify(body) })
    if (!response.ok) throw new Error(`${method} ${path} responds ${response.status}`)
    return response.json()
  }

  async first(path) {
    const list = await this.call('GET', path)
    return list.data[0]
  }

  // A lot that you have no order for.
  async lot() {
    const [listed, ordered] = await Promise.all([
      this.call('GET', lots),
      this.call('GET', 'v1/orders?sort=updated_desc&limit=200'),
    ])
    const taken = new Set(ordered.data.map((order) => order.vehicle_id))
    const free = listed.data.find((lot) => !taken.has(lot.id))
    if (!free) throw new Error('there is no lot to order')
    return free
  }

  async place() {
    const lot = await this.lot()
    const order = { vehicle_id: lot.id, max_bid_amount_usd: Math.max(lot.pricing.listing_usd, 15500) }
    return this.call('POST', 'v1/orders', order)
  }

  async order() {
    return (await this.first('v1/orders?limit=1')) || this.place()
  }

  // An order with a bid that is still to be acted on.
  async openOrder() {
    const list = await this.call('GET', 'v1/orders?status=proceed&limit=200')
    return list.data.find((order) => order.max_bid_amount_usd !== null) || this.place()
  }

  step(order, body) {
    return this.call('POST', `v1/orders/${order.id}/sandbox-status`, body)
  }

  async shippingOrder() {
    const shipping = await this.first('v1/orders?status=shipping&limit=1')
    if (shipping) return shipping
    const order = await this.openOrder()
    await this.step(order, { status: 'acquiring' })
    await this.step(order, { status: 'secured', purchase_price_usd: 1000, auction_fee_usd: 0 })
    return this.step(order, { status: 'shipping' })
  }

  // An open order whose auction is over: an auction has no result before its date.
  async heldAuction() {
    const list = await this.call('GET', 'v1/orders?status=proceed&limit=200')
    // The price of the example must not be above the bid.
    const order = list.data.find((it) => it.max_bid_amount_usd >= 15500) || (await this.place())
    const clock = await this.call('GET', 'v1/sandbox/clock')
    const seconds = Math.ceil((new Date(order.auction_date) - new Date(clock.now)) / 1000)
    if (seconds >= 0) await this.call('POST', 'v1/sandbox/clock', { advance_seconds: seconds + 1 })
    return order
  }

  async event() {
    const event = await this.first('v1/events?limit=1')
    if (event) return event
    await this.step(await this.openOrder(), { status: 'acquiring' })
    return this.first('v1/events?limit=1')
  }

  // A request in the log, which has every write.
  async request() {
    const logged = await this.first('v1/requests?limit=1')
    if (!logged) throw new Error('no request is logged yet')
    return logged
  }

  endpoint(body) {
    return this.call('GET', 'v1/webhook_endpoint').catch(() => this.call('PUT', 'v1/webhook_endpoint', body))
  }
}

// What replaces the id of the example, by operation.
const ids = {
  get_vehicle: async (scene) => (await scene.lot()).id,
  get_order: async (scene) => (await scene.order()).id,
  get_order_vehicle: async (scene) => (await scene.order()).id,
  list_order_history: async (scene) => (await scene.order()).id,
  list_order_events: async (scene) => (await scene.order()).id,
  cancel_order: async (scene) => (await scene.openOrder()).id,
  set_sandbox_status: async (scene) => (await scene.openOrder()).id,
  report_status: async (scene) => (await scene.shippingOrder()).id,
  record_auction_result: async (scene) => (await scene.heldAuction()).vehicle_id,
  reschedule_auction: async (scene) => (await scene.openOrder()).vehicle_id,
  change_price: async (scene) => (await scene.openOrder()).vehicle_id,
  withdraw_vehicle: async (scene) => (await scene.openOrder()).vehicle_id,
  get_event: async (scene) => (await scene.event()).id,
  list_event_attempts: async (scene) => (await scene.event()).id,
  get_request: async (scene) => (await scene.request()).request_id,
  redeliver_event: async (scene) => (await scene.event()).id,
}
// What needs your endpoint, which is set if there is none.
const endpointed = [
  'get_webhook_endpoint', 'delete_webhook_endpoint', 'rotate_webhook_secret', 'test_webhook_endpoint',
  'redeliver_event',
]

// The operations of the document, each with a pattern of its path, the id and the body that its form shows.
function operationsOf(spec) {
  return Object.entries(spec.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      name: operation.operationId,
      method: method.toUpperCase(),
      path: new RegExp(`/${path.slice(1).replace(/{\w+}/g, '[^/]+')}$`),
      id: (operation.parameters || []).find((it) => it.in === 'path')?.example,
      body: operation.requestBody?.content['application/json'],
    })))
}

// Puts what is there in the place of an example that the form still shows.
async function fill(request, operations, base) {
  const key = request.headers['x-api-key']
  const path = new URL(request.url).pathname
  const at = operations.find((it) => it.method === request.method && it.path.test(path))
  if (!at || !key) return
  const scene = new Scene(base, key)
  if (endpointed.includes(at.name)) {
    await scene.endpoint(operations.find((it) => it.name === 'put_webhook_endpoint').body.example)
  }
  if (ids[at.name] && at.id && path.includes(`/${at.id}`)) {
    request.url = request.url.replace(`/${at.id}`, `/${await ids[at.name](scene)}`)
  }
  if (at.name === 'create_order' && JSON.parse(request.body).vehicle_id === at.body.example.vehicle_id) {
    const lot = await scene.lot()
    const bid = Math.max(lot.pricing.listing_usd, at.body.example.max_bid_amount_usd)
    request.body = JSON.stringify({ vehicle_id: lot.id, max_bid_amount_usd: bid }, null, 2)
  }
}

// Says in the forms what is sent in the place of an example. A sandbox on this machine may send to this machine.
function prepare(spec, operations) {
  for (const operation of Object.values(spec.paths).flatMap((item) => Object.values(item))) {
    const id = (operation.parameters || []).find((it) => it.in === 'path')
    if (id && ids[operation.operationId]) {
      id.description += ' For the example, Execute sends an id that fits, and orders a vehicle if it needs to.'
    }
    if (operation.operationId === 'create_order') {
      operation.description += '\n\nFor the vehicle of the example, Execute sends one that can be ordered now.'
    }
  }
  if (['localhost', '127.0.0.1', '[::1]'].includes(location.hostname)) {
    operations.find((it) => it.name === 'put_webhook_endpoint').body.example.url = 'http://127.0.0.1:9000/lmn-events'
  }
}

function show(spec) {
  // Calls go where the page is from: the browser would let them go nowhere else.
  const base = new URL('..', document.baseURI).href.replace(/\/$/, '')
  spec.servers = [{ url: base }]
  spec.components.parameters['Idempotency-Key'].example = prefilled
  const isSandbox = '/v1/sandbox/clock' in spec.paths
  const operations = operationsOf(spec)
  if (isSandbox) prepare(spec, operations)
  SwaggerUIBundle({
    spec,
    dom_id: '#reference',
    deepLinking: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    // A production key is not left behind in the browser.
    persistAuthorization: isSandbox,
    async requestInterceptor(request) {
      if (request.headers['Idempotency-Key'] === prefilled) {
        request.headers['Idempotency-Key'] = freshKey()
      }
      if (isSandbox) {
        // Where nothing fits, the example is sent, and the response says what is missing.
        await fill(request, operations, base).catch((error) => console.info(`The example is sent: ${error.message}`))
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
