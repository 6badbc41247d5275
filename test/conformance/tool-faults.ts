/**
 * Faults of iscsi-test-cu 1.19 itself: tests that a target which follows the standards cannot pass.
 * A fault is known by the test and by the very reason that the tool gives; should the test fail for
 * another reason, that is ours.
 */
import type { SuiteTest } from '../support/iscsi-test-cu.ts'

interface ToolFault {
  readonly test: string
  readonly reason: RegExp
}

const knownFaults: readonly ToolFault[] = [
  {
    test: 'WriteSame10.UnmapUntilEnd',
    reason: /^test_writesame10_unmap_until_end\.c:71 .*as zero/,
  },
  { test: 'GetLBAStatus.UnmapSingle', reason: /^test_get_lba_status_unmap_single\.c:135 / },
]

export function isToolFault({ name, outcome, reason }: SuiteTest): boolean {
  if (outcome !== 'failed') return false
  return knownFaults.some((fault) => fault.test === name && fault.reason.test(reason))
}

/** As the page of results tells them. */
export const toolFaultLines: readonly string[] = [
  '**`WriteSame10.UnmapUntilEnd`** sends WRITE SAME (10) with UNMAP=1, zero blocks (to the end) and a',
  'block of FFh, and then wants zeros. SBC-3 4.7.3.4 lets a device server unmap for WRITE SAME only',
  'where an unmapped block reads as the block that was sent; otherwise it shall write. Where LBPRZ is',
  'set, FFh must be written and read back. In `test_writesame10_unmap_until_end.c` line 51 fills',
  '`scratch` with FFh for the WRITE (10) before, and nothing sets it to zero before line 57 (WRITESAME10); the',
  'twins `test_writesame10_unmap.c` and `test_writesame16_unmap.c` do, and pass. `conformance.test.ts`',
  'shows that FFh is what the tool sent, and that zeros are unmapped. (Targets that ignore the data,',
  'tgt among them, pass this test and lose the FFh.)',
  '',
  '**`GetLBAStatus.UnmapSingle`** asks in its second loop for the status of block i + 1 (line 120) and',
  'wants the first descriptor to begin at block i + lbppb (line 134), which is the same only where a',
  'physical block is one logical block: the first descriptor begins at the block asked for (SBC-3 5.4.2).',
  'The loop before, which asks for i + lbppb, passes. The run with 4096-byte logical blocks, where lbppb',
  'is 1, shows that the same targets pass then; but then two other tests would be skipped',
  '(`[SKIPPED] LBPPB < 2`). tgt fails here too.',
  '',
  '**`iSCSITMF.LUNResetSimpleAsync`** asserts `reconnect_succeeded == 1`',
  '(`test_async_lu_reset_simple.c:157`) right after queueing the request. It is a static variable,',
  '0 at first, that only the callback of the answer sets, and no answer can be processed before the',
  'socket is served, further down. So the test fails against every target the first time in a',
  'process. It is run twice in one process, each time with a session of its own; the flag is left over',
  'from the first time, the second runs to its end, and its verdict counts, for all columns.',
  '',
  '**`MultipathIO.CompareAndWrite`** writes zeros to blocks 0 to 255 and then tries 0 to 256',
  '(`for (i = 0; i <= n; i++)`): the last must be zero by chance. The suite runs first, on a fresh disk.',
  '',
  '**The tests of iSCSITMF** destroy the session when they end; a later one of the same process finds',
  'none and passes without doing anything. With two paths **`Sanitize.Reservations`** leaves its RESERVE',
  'with the session of the second path, which stays: `Sanitize.Reset`, next in the same process, gets',
  'RESERVATION CONFLICT for all that it sends. Hence a process for each test of these two suites.',
]
