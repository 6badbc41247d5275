/** How copies would name the disk of the target beside the one that is fuzzed. */
import { unitFacts } from '../../src/volume/unit-facts.ts'

export const guardIdentity = '00000000-0000-4000-8000-000000000003'
export const guardNaa = unitFacts(guardIdentity, { blocks: 1, blockBytes: 512, thin: true }).naa
