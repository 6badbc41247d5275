/** `--redirect IQN=HOST:PORT[,permanent]`: a target that is served at another address. */
import { StorageError } from '../base/errors.ts'
import type { Redirect } from '../iscsi/login-policy.ts'
import { parseAddressOption } from './address-option.ts'

const permanent = ',permanent'

export function parseRedirectOption(text: string): Redirect {
  const permanently = text.endsWith(permanent)
  const rest = permanently ? text.slice(0, -permanent.length) : text
  const equals = rest.lastIndexOf('=')
  if (equals < 1) {
    throw new StorageError('invalid', `--redirect: "${text}" is not IQN=HOST:PORT[,permanent]`)
  }
  const address = parseAddressOption(rest.slice(equals + 1), '--redirect')
  return { targetName: rest.slice(0, equals), address, permanently }
}
