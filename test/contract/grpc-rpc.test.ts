/** The gRPC adapter keeps the RpcNetwork contract, on loopback. */
import t from 'tap'
import { GrpcRpc } from '../../src/adapters/grpc-rpc.ts'
import { rpcSuite } from './rpc-suite.ts'

await t.test('gRPC', (t) => rpcSuite(t, new GrpcRpc(), '127.0.0.1:0'))
