/**
 * The links from this server to all others that hold replicas of segments whose primary it is: one
 * for each, whatever the number of volumes. It follows the maps; a link that no map asks for rests.
 */
import type { Replica, VolumeMap } from '../../src/volume/map.ts'
import { LinkPartner } from './link-partner.ts'
import type { Partner } from './partner.ts'
import { PartnerLink, type PartnerLinkPorts, type PartnerServer } from './partner-link.ts'

export interface PartnerLinksPorts extends PartnerLinkPorts {
  /** Of this server. */
  readonly serverId: string
}

interface Wish extends PartnerServer {
  readonly generation: number
}

export class PartnerLinks {
  readonly #ports: PartnerLinksPorts
  readonly #links = new Map<string, PartnerLink>()
  /** By serverId, by volumeId. */
  readonly #wishes = new Map<string, Map<string, Wish>>()
  #stopped = false

  constructor(ports: PartnerLinksPorts) {
    this.#ports = ports
  }

  /** Takes up what the map of a volume says now; a deleted one asks for nothing. */
  follow(map: VolumeMap): void {
    const wanted = this.#partnersOf(map)
    for (const [serverId, wishes] of this.#wishes) {
      if (!wanted.has(serverId) && wishes.delete(map.volumeId)) this.#look(serverId)
    }
    for (const [serverId, { server, portals }] of wanted) {
      const wishes = this.#wishes.get(serverId) ?? new Map<string, Wish>()
      this.#wishes.set(serverId, wishes)
      const known = wishes.get(map.volumeId)
      const { generation } = map
      if (known?.generation === generation && known.portals.join() === portals.join()) continue
      wishes.set(map.volumeId, { server, portals, generation })
      this.#look(serverId)
    }
  }

  /** The link to a server, the same for good; it may rest. */
  of(serverId: string): PartnerLink {
    const known = this.#links.get(serverId)
    if (known !== undefined) return known
    const link = new PartnerLink(this.#ports, serverId)
    this.#links.set(serverId, link)
    return link
  }

  /** A replica of a segment of that many blocks. */
  partner(
    replica: Pick<Replica, 'serverId' | 'number'>,
    size: { readonly blocks: number; readonly blockBytes: number },
  ): Partner {
    const { leases } = this.#ports
    return new LinkPartner({
      ...{ leases, number: replica.number, link: this.of(replica.serverId) },
      ...{ blocks: size.blocks, blockBytes: size.blockBytes },
    })
  }

  /** Ends all sessions; nothing is opened any more. */
  stop(): void {
    this.#stopped = true
    for (const link of this.#links.values()) link.rest()
  }

  #partnersOf(map: VolumeMap): Map<string, Replica> {
    const partners = new Map<string, Replica>()
    if (map.deleted) return partners
    for (const { replicas } of map.segments) {
      if (replicas[0]?.serverId !== this.#ports.serverId) continue
      for (const replica of replicas.slice(1)) partners.set(replica.serverId, replica)
    }
    return partners
  }

  /** Where the newest map says that the server is. */
  #look(serverId: string): void {
    if (this.#stopped) return
    let newest: Wish | undefined
    for (const wish of this.#wishes.get(serverId)?.values() ?? []) {
      if (newest === undefined || wish.generation > newest.generation) newest = wish
    }
    if (newest !== undefined) this.of(serverId).connect(newest)
    else this.#links.get(serverId)?.rest()
  }
}
