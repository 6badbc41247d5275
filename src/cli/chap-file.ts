/**
 * `--chap FILE`: who may log in, and with which secrets. TOML:
 *
 *     discovery = true            # discovery sessions authenticate too; the default
 *     [[user]]
 *     name = "host-1"
 *     secret = "at least 12 bytes"
 *     initiator = "iqn.…"         # optional: good for this InitiatorName only
 *     [mutual]                    # optional: what we prove ourselves with
 *     name = "array"
 *     secret = "another secret"
 *
 * A file and never an argument: arguments are seen by everybody on the machine. No error shows what
 * stands under `secret`.
 */
import { open } from 'node:fs/promises'
import { parse } from 'smol-toml'
import { nodeChapHashes } from '../adapters/node-chap-hashes.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { StorageError, toError } from '../base/errors.ts'
import { chap as limits } from '../base/limits.ts'
import { ChapChallenges, type ChapIdentity } from '../iscsi/chap.ts'
import type { ChapPolicy, ChapUser } from '../iscsi/chap-target.ts'
import { type LoginPolicy, plainLoginPolicy } from '../iscsi/login-policy.ts'

const largestFileBytes = 1024 * 1024
const largestTextBytes = 255

/** Of a portal for stock initiators: with the users of the file, or for everybody. */
export async function loginPolicy(file: string | undefined): Promise<LoginPolicy> {
  if (file === undefined) return plainLoginPolicy
  return { ...plainLoginPolicy, chap: await readChapFile(file) }
}

type Table = Readonly<Record<string, unknown>>

async function readChapFile(file: string): Promise<ChapPolicy> {
  const { user, mutual, discovery = true, ...unknown } = parseToml(file, await readPrivate(file))
  refuseUnknown(file, unknown, 'discovery, user, mutual')
  if (typeof discovery !== 'boolean') throw fault(file, 'discovery: true or false')
  if (!Array.isArray(user) || user.length === 0) throw fault(file, 'there is no [[user]]')
  const users = user.map((one, index) => readUser(file, one, `user ${index + 1}`))
  refuseTwice(file, users)
  const policy: ChapPolicy = {
    hashes: nodeChapHashes,
    challenges: new ChapChallenges(nodeRandom),
    users,
    discovery,
  }
  return mutual === undefined ? policy : { ...policy, mutual: readMutual(file, mutual, users) }
}

const fault = (file: string, why: string) => new StorageError('invalid', `--chap ${file}: ${why}`)

/** Reads what it has judged: the same open file. */
async function readPrivate(file: string): Promise<string> {
  const opened = await open(file, 'r').catch((thrown: unknown) => {
    throw fault(file, toError(thrown).message)
  })
  try {
    const { mode, size } = await opened.stat()
    if ((mode & 0o077) !== 0) {
      throw fault(file, `others can read the secrets in it: chmod 600 ${file}`)
    }
    if (size > largestFileBytes) throw fault(file, 'larger than 1 MiB')
    return await opened.readFile('utf8')
  } finally {
    await opened.close()
  }
}

function parseToml(file: string, text: string): Table {
  try {
    return parse(text)
  } catch (thrown) {
    // The parser quotes the lines around the fault, which may hold a secret.
    const [first = 'no valid TOML'] = toError(thrown).message.split('\n')
    const line = (thrown as { readonly line?: unknown }).line
    throw fault(file, typeof line === 'number' ? `line ${line}: ${first}` : first)
  }
}

function refuseUnknown(file: string, unknown: Table, known: string): void {
  const [key] = Object.keys(unknown)
  if (key !== undefined) throw fault(file, `unknown key "${key}"; known: ${known}`)
}

function asTable(file: string, value: unknown, where: string): Table {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.fromEntries(Object.entries(value))
  }
  throw fault(file, `${where} is no table`)
}

function readText(file: string, value: unknown, where: string): string {
  const bytes = typeof value === 'string' ? Buffer.byteLength(value) : 0
  if (typeof value === 'string' && bytes > 0 && bytes <= largestTextBytes && !/\p{C}/u.test(value))
    return value
  throw fault(file, `${where}: a text of 1 to ${largestTextBytes} bytes`)
}

function readIdentity(file: string, table: Table, where: string): ChapIdentity {
  const name = readText(file, table.name, `${where}: name`)
  const secret = Buffer.from(readText(file, table.secret, `${where}: secret`))
  if (secret.length < limits.secretBytesMin) {
    const least = `at least ${limits.secretBytesMin} bytes (RFC 7143 9.2.1)`
    throw fault(file, `${where}: the secret is too short, ${least}; Windows takes 12 to 16`)
  }
  return { name, secret }
}

function readUser(file: string, value: unknown, where: string): ChapUser {
  const { name, secret, initiator, ...unknown } = asTable(file, value, where)
  refuseUnknown(file, unknown, 'name, secret, initiator')
  const user = readIdentity(file, { name, secret }, where)
  if (initiator === undefined) return user
  return { ...user, initiator: readText(file, initiator, `${where}: initiator`) }
}

function readMutual(file: string, value: unknown, users: readonly ChapUser[]): ChapIdentity {
  const { name, secret, ...unknown } = asTable(file, value, 'mutual')
  refuseUnknown(file, unknown, 'name, secret')
  const mutual = readIdentity(file, { name, secret }, 'mutual')
  const same = users.find((user) => user.secret.equals(mutual.secret))
  if (same === undefined) return mutual
  throw fault(file, `mutual: the secret is also that of user "${same.name}"; it must be another`)
}

function refuseTwice(file: string, users: readonly ChapUser[]): void {
  const names = users.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw fault(file, `user "${twice}" stands there twice`)
}
