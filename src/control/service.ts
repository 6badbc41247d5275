/**
 * Services: typed methods over the RpcNetwork port. One table per service gives its server its
 * handlers' types and its callers their client. Errors of a handler reach the caller as
 * StorageError `refused` with the handler's message.
 */
import { toError } from '../base/errors.ts'
import type { RpcChannel, RpcMethod, RpcPeer, RpcStream } from '../ports/rpc.ts'
import type { Codec } from './codec.ts'

export interface Unary<Request, Reply> {
  readonly kind: 'unary'
  readonly request: Codec<Request>
  readonly reply: Codec<Reply>
}

export interface ServerStream<Request, Event> {
  readonly kind: 'stream'
  readonly request: Codec<Request>
  readonly event: Codec<Event>
}

// biome-ignore lint/suspicious/noExplicitAny: the bound of a table with a different type in each row
type Method = Unary<any, any> | ServerStream<any, any>

export interface Service<Methods extends Readonly<Record<string, Method>>> {
  /** For example `StorageServer`. */
  readonly name: string
  readonly methods: Methods
}

/** The sender's end of a stream. */
export interface EventSink<Event> {
  /** False when the reader is behind: then wait for `drained`. */
  send(event: Event): boolean
  drained(): Promise<void>
  end(): void
  /** Called once when the caller went away or the stream ended. */
  closed(run: () => void): void
}

/** The receiver's end of a stream; `ended` is called exactly once. */
export interface EventReceiver<Event> {
  event(event: Event): void
  ended(cause?: Error): void
}

export type Handlers<Methods extends Readonly<Record<string, Method>>> = {
  readonly [Name in keyof Methods]: Methods[Name] extends Unary<infer Request, infer Reply>
    ? (request: Request, peer: RpcPeer) => Promise<Reply>
    : Methods[Name] extends ServerStream<infer Request, infer Event>
      ? (request: Request, sink: EventSink<Event>, peer: RpcPeer) => void
      : never
}

export type Client<Methods extends Readonly<Record<string, Method>>> = {
  readonly [Name in keyof Methods]: Methods[Name] extends Unary<infer Request, infer Reply>
    ? (request: Request, deadlineMs: number) => Promise<Reply>
    : Methods[Name] extends ServerStream<infer Request, infer Event>
      ? (request: Request, receiver: EventReceiver<Event>) => RpcStream
      : never
}

export function unary<Request, Reply>(
  request: Codec<Request>,
  reply: Codec<Reply>,
): Unary<Request, Reply> {
  return { kind: 'unary', request, reply }
}

export function serverStream<Request, Event>(
  request: Codec<Request>,
  event: Codec<Event>,
): ServerStream<Request, Event> {
  return { kind: 'stream', request, event }
}

/** The methods of a service for `RpcNetwork.serve`. */
export function serveMethods<Methods extends Readonly<Record<string, Method>>>(
  service: Service<Methods>,
  handlers: Handlers<Methods>,
): RpcMethod[] {
  return Object.entries(service.methods).map(([name, method]): RpcMethod => {
    const path = pathOf(service.name, name)
    const handler: unknown = handlers[name]
    return method.kind === 'unary'
      ? unaryMethod(path, method, handler as UnaryHandler)
      : streamMethod(path, method, handler as StreamHandler)
  })
}

type UnaryHandler = (request: unknown, peer: RpcPeer) => Promise<unknown>
type StreamHandler = (request: unknown, sink: EventSink<unknown>, peer: RpcPeer) => void

function unaryMethod(
  path: string,
  method: Unary<unknown, unknown>,
  handler: UnaryHandler,
): RpcMethod {
  return {
    kind: 'unary',
    path,
    handle: async (bytes, peer) =>
      method.reply.encode(await handler(method.request.decode(bytes), peer)),
  }
}

function streamMethod(
  path: string,
  method: ServerStream<unknown, unknown>,
  handler: StreamHandler,
): RpcMethod {
  return {
    kind: 'stream',
    path,
    handle: (bytes, sink, peer) => {
      const typed: EventSink<unknown> = {
        send: (event) => sink.send(method.event.encode(event)),
        drained: () => sink.drained(),
        end: () => sink.end(),
        closed: (run) => sink.closed(run),
      }
      handler(method.request.decode(bytes), typed, peer)
    },
  }
}

/** A caller of a service; the channel stays the caller's to close. */
export function clientOf<Methods extends Readonly<Record<string, Method>>>(
  service: Service<Methods>,
  channel: RpcChannel,
): Client<Methods> {
  const entries = Object.entries(service.methods).map(([name, method]) => {
    const path = pathOf(service.name, name)
    return [
      name,
      method.kind === 'unary'
        ? unaryCaller(path, method, channel)
        : streamCaller(path, method, channel),
    ]
  })
  return Object.fromEntries(entries) as Client<Methods>
}

function unaryCaller(path: string, method: Unary<unknown, unknown>, channel: RpcChannel) {
  return async (request: unknown, deadlineMs: number): Promise<unknown> =>
    method.reply.decode(await channel.call(path, method.request.encode(request), deadlineMs))
}

function streamCaller(path: string, method: ServerStream<unknown, unknown>, channel: RpcChannel) {
  return (request: unknown, receiver: EventReceiver<unknown>): RpcStream => {
    let done = false
    const end = (cause?: Error): void => {
      if (done) return
      done = true
      receiver.ended(cause)
    }
    const stream = channel.open(path, method.request.encode(request), {
      message: (bytes) => {
        if (done) return
        try {
          receiver.event(method.event.decode(bytes))
        } catch (error) {
          // A sender that we do not understand: end here and let the caller open a new stream.
          stream.cancel()
          end(toError(error))
        }
      },
      ended: end,
    })
    return stream
  }
}

/** gRPC's name of a method: `/package.Service/Method`. */
function pathOf(service: string, method: string): string {
  return `/palisade.${service}/${method.charAt(0).toUpperCase()}${method.slice(1)}`
}
