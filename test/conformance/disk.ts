/** What a run needs of a subject: some equal disks, each in a target of its own, on two portals. */
import type { Run } from './runs.ts'
import { chapSecret } from './runs.ts'

/** URLs of both paths of one disk. */
export type Paths = readonly [string, string]

export interface Disks {
  readonly paths: readonly Paths[]
  /** `HOST:PORT` of everything that is listened on for initiators. */
  readonly portals: readonly string[]
  stop(): Promise<void>
}

/** Something that serves disks. */
export interface Subject {
  readonly name: string
  readonly title: string
  /** As many disks as `lanes`, so that suites can run side by side without meeting. */
  start(run: Run, lanes: number): Promise<Disks>
}

/** As our command line takes it. */
export function sizeOf({ diskMib }: Run): string {
  return `${diskMib}MiB`
}

export function pathsTo(run: Run, portals: readonly string[], iqn: string, lun: number): Paths {
  const [first, second] = portals
  if (first === undefined || second === undefined) throw new Error('two portals are needed')
  const user = run.chapUser === undefined ? '' : `${run.chapUser}%${chapSecret}@`
  const url = (portal: string): string => `iscsi://${user}${portal}/${iqn}/${lun}`
  return [url(first), url(second)]
}
