/* Names of people who do not exist: any first name may meet any last name. */

export const firstNames: readonly string[] = `
Ada Adaeze Akira Alma Amara Amir Anouk Anselm Ansel Arlo Asta Astrid Aurel Aya Bas Beatriz Bela Benno Bertil Bianca
Bodil Bram Briony Callum Carmen Casimir Celeste Chidi Cosima Dag Dalia Daria Desmond Dilan Edda Eirik Elif Elio Eloise
Emeka Enzo Esma Farah Faye Felipe Fenna Fergus Fiona Flora Gaspard Gerda Gwen Hakim Halima Hedda Henrike Hiro Ida Idris
Ilse Imani Ines Ingmar Iris Isidor Ivo Jamila Jarek Joris Juno Kaito Kamala Kasper Katya Kenji Kofi Lars Leila Leonie
Linnea Livia Lotte Luca Lucian Magnus Maja Malik Marisol Matteo Mei Milan Mirela Nadia Naveen Nilufar Nils Noor Odile
Oksana Olu Omar Oona Orla Otis Pablo Pavel Petra Pilar Priya Quentin Rafael Ravi Rena Roald Rosalind Rumi Runa Sabine
Sanjay Saskia Selma Signe Silvan Sofie Stellan Sunniva Tadeo Tamsin Tariq Tess Theo Tilda Tomas Ulla Umi Uriel Valeska
Vera Vikram Viola Wanda Wendel Xenia Yannick Yara Yusuf Zadie Zeno Zora`
  .trim()
  .split(/\s+/);

export const lastNames: readonly string[] = `
Aalto Abernathy Achterberg Adeyemi Aldana Almeida Amundsen Anttila Arsenault Ashdown Azarov Baptiste Barrowman Bayramov
Beaulieu Bellweather Bergström Blackwood Bogdanov Brannigan Brightwell Calloway Canbolat Castellan Chalmers Coldwater
Corrigan Cravenfield Dahlgren Darlington Delacroix Demirel Dragomir Drummond Eastgate Echeverría Eklund Ellingham
Fairweather Falkenrath Farrokhi Featherstone Ferreira Figueroa Fjeld Fontaine Galanis Garrick Goldfinch Grimaldi
Grünwald Haddad Halloran Hartigan Hawthorne Heatherly Holmqvist Honeywell Ibarra Idowu Ingersoll Ishikawa Iyer Jankowski
Jardine Jernigan Kaczmarek Kallio Kestrel Kingfisher Kirchner Kovačević Krishnan Lafontaine Lakhani Larkspur Lindqvist
Lockhart Longfellow Lundgren Machado Mahfouz Marchetti Mascarenhas Maywood McAllan Merriweather Mistry Montclair
Moonves Moradi Nakagawa Nightingale Nordahl Novotny Oakhurst Obuya Oduya Okonkwo Oliveira Ostrowski Oyelaran Pargeter
Partridge Pemberton Petrosyan Pinto Ploughman Quigley Quill Radcliff Ramaswamy Ravenscroft Redfern Reinholt Rosenquist
Rutherglen Sandoval Santangelo Seabright Sedgewick Shirazi Silverstone Skarsgaard Sokolov Starling Stonebridge
Strandberg Sundaram Summerfield Takahara Tanaka Tavares Thistlewood Thorvald Tindall Underhill Urquhart Valdivia Vance
Vasquez Venkataraman Villanueva Vinterberg Wakefield Waterhouse Weatherby Whitlock Wolfhart Woodrow Wrenfield Yardley
Yildirim Zamora Zielinski`
  .trim()
  .split(/\s+/);
