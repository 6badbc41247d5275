/**
 * The `palisade manager` that dies by SIGKILL inside a change. PALISADE_TEST_DIE says where:
 * `STEP:COUNT` lets COUNT calls of the step be answered, no further one begin, and dies then; with
 * `:sent` instead of a count it dies when the first was sent. Steps are close, activate, reopen (calls to
 * storage servers), commit (a map is written) and forget (a deleted one is removed). Nothing is
 * counted before SIGUSR2, which it answers with a line `armed`.
 */
import { runManager } from '../../src/cli/manager.ts'
import type { KeyValue, Transaction } from '../../src/ports/key-value.ts'
import type { RpcChannel, RpcNetwork } from '../../src/ports/rpc.ts'
import { managerArguments } from './manager-arguments.ts'

const never = new Promise<never>(() => undefined)

/** Counts the calls of one step, and ends the process. */
class Fate {
  readonly #step: string
  readonly #atSent: boolean
  readonly #count: number
  #begun = 0
  #answered = 0
  armed = false

  constructor(text: string) {
    const [step = '', when = ''] = text.split(':')
    this.#step = step
    this.#atSent = when === 'sent'
    this.#count = Number(this.#atSent ? 1 : when)
  }

  async meet<T>(step: string | undefined, call: () => Promise<T>): Promise<T> {
    if (!this.armed || step !== this.#step) return call()
    if (this.#count === 0) return this.#die()
    if (this.#begun === this.#count) return never
    this.#begun += 1
    const answer = call()
    if (this.#atSent) {
      // What it has written leaves the process before the process ends.
      answer.catch(() => undefined)
      setImmediate(() => this.#die())
      return never
    }
    const value = await answer
    this.#answered += 1
    return this.#answered === this.#count ? this.#die() : value
  }

  #die(): Promise<never> {
    process.kill(process.pid, 'SIGKILL')
    return never
  }
}

/** The name of a call to a storage server, else undefined. */
function callStep(path: string): string | undefined {
  return /^\/palisade\.StorageServer\/(\w+)$/.exec(path)?.[1]?.toLowerCase()
}

function transactionStep({ put = [], remove = [] }: Transaction): string | undefined {
  if (put.some(({ key }) => key.startsWith('volume/'))) return 'commit'
  return remove.some((key) => key.startsWith('volume/')) ? 'forget' : undefined
}

function mortalRpc(inner: RpcNetwork, fate: Fate): RpcNetwork {
  return {
    serve: (address, methods) => inner.serve(address, methods),
    channel: (address): RpcChannel => {
      const channel = inner.channel(address)
      return {
        call: (path, request, deadlineMs) =>
          fate.meet(callStep(path), () => channel.call(path, request, deadlineMs)),
        open: (path, request, receiver) => channel.open(path, request, receiver),
        close: () => channel.close(),
      }
    },
  }
}

function mortalKeyValue(inner: KeyValue, fate: Fate): KeyValue {
  return {
    get: (key) => inner.get(key),
    range: (prefix) => inner.range(prefix),
    transact: (transaction) =>
      fate.meet(transactionStep(transaction), () => inner.transact(transaction)),
    close: () => inner.close(),
  }
}

async function main(): Promise<void> {
  const fate = new Fate(process.env.PALISADE_TEST_DIE ?? '')
  process.on('SIGUSR2', () => {
    fate.armed = true
    process.stdout.write('armed\n')
  })
  await runManager(managerArguments(), (ports) => ({
    ...ports,
    keyValue: mortalKeyValue(ports.keyValue, fate),
    rpc: mortalRpc(ports.rpc, fate),
  }))
}

await main()
