/** The newest report of each client about each portal; a bounded number, the oldest go first. */
import { manager as limits } from '../base/limits.ts'
import type { ReportRequest } from '../control/messages/client.ts'

export class ClientReports {
  readonly #reports = new Map<string, ReportRequest & { readonly wallMs: number }>()

  take(report: ReportRequest, wallMs: number): void {
    const key = JSON.stringify([report.client, report.serverId, report.portal])
    // Taken out first, so that the map's order is the order of their age.
    this.#reports.delete(key)
    this.#reports.set(key, { ...report, wallMs })
    for (const oldest of this.#reports.keys()) {
      if (this.#reports.size <= limits.reports) return
      this.#reports.delete(oldest)
    }
  }

  get all(): readonly (ReportRequest & { readonly wallMs: number })[] {
    return [...this.#reports.values()]
  }
}
