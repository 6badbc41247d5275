/** Checks each sector of each volume by itself, over the whole history of a simulation. */
import type { Entry, History, Operation } from '../load/history.ts'
import { text } from '../load/sim-initiator.ts'
import { SectorCheck } from './sector-check.ts'
import type { Violations } from './violations.ts'

export function checkHistory(history: History, violations: Violations): void {
  const endings = new Map<Operation, Entry>()
  const initiators = new Set<string>()
  for (const entry of history.entries) {
    if (entry.what === 'end') endings.set(entry.operation, entry)
    if (entry.what === 'begin') initiators.add(entry.operation.initiator)
  }
  for (const [sector, entries] of bySector(history)) {
    const [volume = '', lba = ''] = sector.split('/')
    const check = new SectorCheck(Number(lba), [...initiators], endings)
    for (const entry of entries) {
      const verdict = check.take(entry)
      if (verdict === undefined) continue
      const past = entries.slice(0, entries.indexOf(entry) + 1).slice(-14)
      const story = past.map((each) => describe(each, Number(lba))).join('; ')
      violations.add('linearizability', `volume ${volume} block ${lba}: ${verdict.why}: ${story}`)
      return
    }
  }
}

/**
 * What concerns each sector that may show something: one that was read or compared, and all of a
 * volume whose clients were fenced. Writes that nobody looks at can always be explained.
 */
function bySector(history: History): Map<string, Entry[]> {
  const sectors = new Map<string, Entry[]>()
  const fenced = new Set<number>()
  for (const entry of history.entries) if (entry.what === 'fenced') fenced.add(entry.volume)
  for (const { kind, volume, lba, blocks } of history.operations.values()) {
    const looks = kind === 'read' || kind === 'compare'
    if (kind === 'flush' || !(looks || fenced.has(volume))) continue
    for (let i = 0; i < blocks; i++) sectors.set(`${volume}/${lba + i}`, [])
  }
  const all = [...sectors].map(([key, entries]) => {
    const [volume, lba] = key.split('/').map(Number)
    return { volume: volume!, lba: lba!, entries }
  })
  for (const entry of history.entries) {
    if ((entry.what === 'begin' || entry.what === 'end') && entry.operation.kind !== 'flush') {
      const { volume, lba, blocks } = entry.operation
      for (let i = 0; i < blocks; i++) sectors.get(`${volume}/${lba + i}`)?.push(entry)
      continue
    }
    for (const { volume, lba, entries } of all)
      if (concerns(entry, volume, lba)) entries.push(entry)
  }
  return sectors
}

function concerns(entry: Entry, volume: number, lba: number): boolean {
  switch (entry.what) {
    case 'begin':
    case 'end':
      return entry.operation.volume === volume
    case 'loss':
      return entry.volume === volume && entry.holds(lba)
    case 'front-gone':
      return true
    default:
      return entry.volume === volume
  }
}

function describe(entry: Entry, lba: number): string {
  const at = `${entry.atMs.toFixed(1)}`
  if (entry.what === 'begin') {
    const { operation } = entry
    return `${at} ${operation.initiator} ${operation.number} ${text(operation)}`
  }
  if (entry.what === 'end') {
    const { operation, ending, seen } = entry
    const value = seen === undefined ? '' : ` = ${seen[lba - operation.lba]}`
    return `${at} ${operation.number} ${ending}${value}`
  }
  return `${at} ${entry.what}`
}
