/* Parts of place names: countries, cities and streets are put together from them, and lie on no map. */

export const countryStems: readonly string[] = `
Ald Bel Bor Cal Cor Dal Dor Est Fal Gal Gor Hal Ill Jor Kar Kel Lor Mal Mer Mor Nor Oss Pal Quel Ral Sar Sel Tal Tor Ul
Val Vel Wen Yar Zan`
  .trim()
  .split(/\s+/);

export const countryEndings: readonly string[] = `
andia avia enia eria essa imar inia istan itania mark ona oria ovia uria`
  .trim()
  .split(/\s+/);

export const cityBeginnings: readonly string[] = `
Alder Amber Ash Beacon Birch Black Bright Broad Cedar Clear Cold Copper Crow Deep Dun Eagle Elder Elm Fair Fern Fox
Glen Gold Grey Hazel Heron High Iron Kings Lake Linden Long Maple Marsh Mill Moor Moss New North Oak Old Otter Pine
Quarry Raven Red River Rook Salt Silver South Stone Swan Thorn West White Wild Willow Winter Wolf`
  .trim()
  .split(/\s+/);

export const cityEndings: readonly string[] = `
bank borough bourne bridge burgh bury cliff cote dale den field ford gate ham haven hill hurst keep leigh mere minster
mouth port stead ton vale ville wick wood worth`
  .trim()
  .split(/\s+/);

export const districts: readonly string[] = `
Upland Lowland Eastmarch Westmarch Northmarch Southmarch Lakeshire Hillshire Seashire Woodshire Goldcoast Midland
Borderland Riverland Highmoor Greenholm`
  .trim()
  .split(/\s+/);

export const streetNames: readonly string[] = `
Acorn Anchor Apple Baker Barley Bell Bishop Bramble Candle Carpenter Castle Chapel Cherry Clover Cooper Cotton Fiddler
Fisher Fountain Garden Harbour Harvest Hatter Ivy Juniper Lantern Lark Laurel Library Lighthouse Market Mason Meadow
Mercer Miller Minstrel Mulberry Orchard Palace Pepper Potter Quay Saddler School Shepherd Spring Station Sunrise Tanner
Temple Thistle Tower Turnpike Vineyard Walnut Weaver Wharf Windmill`
  .trim()
  .split(/\s+/);

export const streetKinds = [
  'Alley',
  'Avenue',
  'Boulevard',
  'Court',
  'Lane',
  'Road',
  'Row',
  'Square',
  'Street',
  'Way',
] as const;
