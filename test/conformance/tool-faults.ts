/** Faults of iscsi-test-cu itself, as they are told on the page of results. */
export const toolFaults: readonly string[] = [
  'None is worked around beyond the process for each suite.',
]
