/*
 * The rows of the DVD rental database, column by column as its tables have them. Money is text with two
 * decimals, as `numeric` wants it; times are text without a zone, as the tables keep them.
 */

export interface Country {
  readonly country_id: number;
  readonly country: string;
  readonly last_update: string;
}

export interface City {
  readonly city_id: number;
  readonly city: string;
  readonly country_id: number;
  readonly last_update: string;
}

export interface Address {
  readonly address_id: number;
  readonly address: string;
  readonly address2: string | null;
  readonly district: string;
  readonly city_id: number;
  readonly postal_code: string;
  readonly phone: string;
  readonly last_update: string;
}

export interface Actor {
  readonly actor_id: number;
  readonly first_name: string;
  readonly last_name: string;
  readonly last_update: string;
}

export interface Customer {
  readonly customer_id: number;
  readonly store_id: number;
  readonly first_name: string;
  readonly last_name: string;
  readonly email: string;
  readonly address_id: number;
  readonly activebool: boolean;
  readonly create_date: string;
  readonly last_update: string;
  readonly active: number;
}

export interface Staff {
  readonly staff_id: number;
  readonly first_name: string;
  readonly last_name: string;
  readonly address_id: number;
  readonly email: string;
  readonly store_id: number;
  readonly active: boolean;
  readonly username: string;
  readonly password: string | null;
  readonly last_update: string;
  /** As `bytea` reads it: `\x` and hexadecimal digits. */
  readonly picture: string | null;
}

export interface Store {
  readonly store_id: number;
  readonly manager_staff_id: number;
  readonly address_id: number;
  readonly last_update: string;
}

export interface Language {
  readonly language_id: number;
  readonly name: string;
  readonly last_update: string;
}

export interface Category {
  readonly category_id: number;
  readonly name: string;
  readonly last_update: string;
}

/** Without `fulltext`, which a trigger of the table fills in. */
export interface Film {
  readonly film_id: number;
  readonly title: string;
  readonly description: string;
  readonly release_year: number;
  readonly language_id: number;
  readonly rental_duration: number;
  readonly rental_rate: string;
  readonly length: number;
  readonly replacement_cost: string;
  readonly rating: string;
  readonly last_update: string;
  readonly special_features: readonly string[];
}

export interface FilmActor {
  readonly actor_id: number;
  readonly film_id: number;
  readonly last_update: string;
}

export interface FilmCategory {
  readonly film_id: number;
  readonly category_id: number;
  readonly last_update: string;
}

export interface Inventory {
  readonly inventory_id: number;
  readonly film_id: number;
  readonly store_id: number;
  readonly last_update: string;
}

export interface Rental {
  readonly rental_id: number;
  readonly rental_date: string;
  readonly inventory_id: number;
  readonly customer_id: number;
  /** `null` while the disc is still out. */
  readonly return_date: string | null;
  readonly staff_id: number;
  readonly last_update: string;
}

export interface Payment {
  readonly payment_id: number;
  readonly customer_id: number;
  readonly staff_id: number;
  readonly rental_id: number;
  readonly amount: string;
  readonly payment_date: string;
}
