/**
 * Which initiator this is, from what it says in its login. For people who read a status; nothing is
 * decided by it. The names are the vendors' own defaults; where an operator has chosen another, the
 * order in which a login names its keys still tells two of them.
 *
 * - Windows and ESXi: registered naming authorities, `com.microsoft` (1991-05), `com.vmware` (1998-01).
 * - libiscsi's tools and qemu (libiscsi within) name themselves as below; seen with libiscsi 1.19 and
 *   qemu 7.2. libiscsi names InitialR2T before DefaultTime2Wait.
 * - open-iscsi takes its name from a file; each distribution has an authority of its own. It names
 *   IFMarker before ErrorRecoveryLevel; seen with open-iscsi 2.1.8.
 */
import { keys } from './keys.ts'

export type InitiatorProfile =
  | 'palisade'
  | 'windows'
  | 'esxi'
  | 'qemu'
  | 'libiscsi'
  | 'open-iscsi'
  | 'unknown'

const byName: readonly (readonly [start: string, profile: InitiatorProfile])[] = [
  ['iqn.1991-05.com.microsoft:', 'windows'],
  ['iqn.1998-01.com.vmware:', 'esxi'],
  ['iqn.2008-11.org.linux-kvm', 'qemu'],
  ['iqn.2007-10.com.github:sahlberg:libiscsi', 'libiscsi'],
]

/** `order`: the keys of its login as they came. */
export function initiatorProfile(
  initiatorName: string,
  order: readonly string[],
): InitiatorProfile {
  if (order.includes(keys.Generation.name)) return 'palisade'
  const name = initiatorName.toLowerCase()
  const named = byName.find(([start]) => name.startsWith(start))
  if (named !== undefined) return named[1]
  const follows = (first: string, second: string): boolean =>
    order.includes(first) && order.indexOf(first) < order.indexOf(second)
  if (follows('IFMarker', 'ErrorRecoveryLevel')) return 'open-iscsi'
  return follows('InitialR2T', 'DefaultTime2Wait') && order.includes('IFMarker')
    ? 'libiscsi'
    : 'unknown'
}
