/** The network in memory keeps the RpcNetwork contract, on the machine's clock. */
import t from 'tap'
import { nodeClock } from '../../src/adapters/node-clock.ts'
import { MemoryRpc } from '../support/memory-rpc.ts'
import { rpcSuite } from './rpc-suite.ts'

await t.test('memory', (t) => rpcSuite(t, new MemoryRpc(nodeClock).host('one'), 'memory:0'))
