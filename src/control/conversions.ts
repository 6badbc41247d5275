/** Conversions of messages that carry volume maps in one of their fields. */
import type { VolumeMap } from '../volume/map.ts'
import { type Codec, codec, type Wire } from './codec.ts'
import { volumeMapConversion } from './messages/map.ts'

/** A message with a map, perhaps absent, in its field `map`. */
export function codecWithMap<T extends { readonly map?: VolumeMap | undefined }>(
  name: string,
): Codec<T> {
  return codec<T>(name, {
    toWire: (message) => withField(message, 'map', volumeMapConversion.toWire as Change),
    fromWire: (wire) => withField(wire, 'map', volumeMapConversion.fromWire as Change) as T,
  })
}

/** A message with a list of maps in its field `maps`. */
export function codecWithMaps<T extends { readonly maps: readonly VolumeMap[] }>(
  name: string,
): Codec<T> {
  return codec<T>(name, {
    toWire: ({ maps, ...rest }) => ({ ...rest, maps: maps.map(volumeMapConversion.toWire) }),
    fromWire: (wire) =>
      ({ ...wire, maps: (wire.maps as Wire[]).map(volumeMapConversion.fromWire) }) as unknown as T,
  })
}

type Change = (value: unknown) => unknown

/** The same message with one field changed, where it is there. */
export function withField(message: object, field: string, change: Change): Wire {
  const value = (message as Wire)[field]
  return value === undefined ? { ...message } : { ...message, [field]: change(value) }
}
