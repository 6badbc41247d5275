/** `--portal LISTEN[=ADVERTISED][,group=N]` of the programs that serve stock initiators. */
import { StorageError } from '../base/errors.ts'
import type { PortalPlace } from '../portal/portal.ts'
import { parseAddressOption } from './address-option.ts'

export interface ListenOption {
  readonly listen: string
  readonly place: PortalPlace
}

/** RFC 7143 13.9. */
const largestGroup = 65_535

export function parsePortalOption(text: string): ListenOption {
  const [addresses = '', ...extras] = text.split(',')
  const [listen = '', advertised, ...more] = addresses.split('=')
  const group = extras.length === 0 ? undefined : /^group=([0-9]{1,5})$/.exec(extras[0] ?? '')?.[1]
  if (more.length > 0 || extras.length > 1 || (extras.length === 1 && group === undefined)) {
    const form = 'LISTEN[=ADVERTISED][,group=N]'
    throw new StorageError('invalid', `--portal: "${text}" is not ${form}`)
  }
  if (group !== undefined && Number(group) > largestGroup) {
    throw new StorageError('invalid', `--portal: group ${group} is larger than ${largestGroup}`)
  }
  return {
    listen: parseAddressOption(listen, '--portal'),
    place: {
      ...(advertised === undefined
        ? {}
        : { advertised: parseAddressOption(advertised, '--portal') }),
      ...(group === undefined ? {} : { portalGroupTag: Number(group) }),
    },
  }
}
