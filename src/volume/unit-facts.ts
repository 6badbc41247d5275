/**
 * What initiators are told of a disk of ours, whoever serves it: a volume at a front end, a segment
 * at a server, a plain file. Nothing here changes while the disk keeps its size.
 */
import { physicalBlockBytes } from '../base/limits.ts'
import type { UnitFacts } from '../scsi/logical-unit.ts'
import { naaDesignator, unitSerial } from './identity.ts'

/** `identity`: a UUID that stays with the data, the source of the designators. */
export function unitFacts(
  identity: string,
  given: Pick<UnitFacts, 'blocks' | 'blockBytes' | 'thin'> &
    Partial<Pick<UnitFacts, 'readOnly' | 'removable' | 'atomicBlocks' | 'atomicBoundaryBlocks'>>,
): UnitFacts {
  const {
    blocks,
    blockBytes,
    thin,
    readOnly = false,
    removable = false,
    atomicBlocks = 0,
    atomicBoundaryBlocks = 0,
  } = given
  return {
    blocks,
    blockBytes,
    physicalBlockBytes,
    thin,
    writeCache: true,
    readOnly,
    removable,
    atomicBlocks,
    atomicBoundaryBlocks,
    serial: unitSerial(identity),
    naa: naaDesignator(identity),
  }
}
