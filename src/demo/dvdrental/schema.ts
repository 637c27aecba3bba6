/*
 * The schema of the DVD rental database in two halves: what must be there before rows can be loaded, and what is
 * quicker or only possible after it (stores and their staff refer to each other). Tables, columns, types, keys
 * and views have the names that exercises about this database use.
 */

export const beforeLoading = `
CREATE TYPE mpaa_rating AS ENUM ('G', 'PG', 'PG-13', 'R', 'NC-17');
CREATE DOMAIN year AS integer CHECK (VALUE BETWEEN 1901 AND 2155);

CREATE TABLE country (
  country_id serial PRIMARY KEY,
  country varchar(50) NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE city (
  city_id serial PRIMARY KEY,
  city varchar(50) NOT NULL,
  country_id smallint NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE address (
  address_id serial PRIMARY KEY,
  address varchar(50) NOT NULL,
  address2 varchar(50),
  district varchar(20) NOT NULL,
  city_id smallint NOT NULL,
  postal_code varchar(10),
  phone varchar(20) NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE language (
  language_id serial PRIMARY KEY,
  name char(20) NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE category (
  category_id serial PRIMARY KEY,
  name varchar(25) NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE actor (
  actor_id serial PRIMARY KEY,
  first_name varchar(45) NOT NULL,
  last_name varchar(45) NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE film (
  film_id serial PRIMARY KEY,
  title varchar(255) NOT NULL,
  description text,
  release_year year,
  language_id smallint NOT NULL,
  rental_duration smallint NOT NULL DEFAULT 3,
  rental_rate numeric(4,2) NOT NULL DEFAULT 4.99,
  length smallint,
  replacement_cost numeric(5,2) NOT NULL DEFAULT 19.99,
  rating mpaa_rating DEFAULT 'G',
  last_update timestamp NOT NULL DEFAULT now(),
  special_features text[],
  fulltext tsvector NOT NULL
);

CREATE TABLE film_actor (
  actor_id smallint NOT NULL,
  film_id smallint NOT NULL,
  last_update timestamp NOT NULL DEFAULT now(),
  PRIMARY KEY (actor_id, film_id)
);

CREATE TABLE film_category (
  film_id smallint NOT NULL,
  category_id smallint NOT NULL,
  last_update timestamp NOT NULL DEFAULT now(),
  PRIMARY KEY (film_id, category_id)
);

CREATE TABLE store (
  store_id serial PRIMARY KEY,
  manager_staff_id smallint NOT NULL,
  address_id smallint NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE staff (
  staff_id serial PRIMARY KEY,
  first_name varchar(45) NOT NULL,
  last_name varchar(45) NOT NULL,
  address_id smallint NOT NULL,
  email varchar(50),
  store_id smallint NOT NULL,
  active boolean NOT NULL DEFAULT true,
  username varchar(16) NOT NULL,
  password varchar(40),
  last_update timestamp NOT NULL DEFAULT now(),
  picture bytea
);

CREATE TABLE customer (
  customer_id serial PRIMARY KEY,
  store_id smallint NOT NULL,
  first_name varchar(45) NOT NULL,
  last_name varchar(45) NOT NULL,
  email varchar(50),
  address_id smallint NOT NULL,
  activebool boolean NOT NULL DEFAULT true,
  create_date date NOT NULL DEFAULT CURRENT_DATE,
  last_update timestamp DEFAULT now(),
  active integer
);

CREATE TABLE inventory (
  inventory_id serial PRIMARY KEY,
  film_id smallint NOT NULL,
  store_id smallint NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE rental (
  rental_id serial PRIMARY KEY,
  rental_date timestamp NOT NULL,
  inventory_id integer NOT NULL,
  customer_id smallint NOT NULL,
  return_date timestamp,
  staff_id smallint NOT NULL,
  last_update timestamp NOT NULL DEFAULT now()
);

CREATE TABLE payment (
  payment_id serial PRIMARY KEY,
  customer_id smallint NOT NULL,
  staff_id smallint NOT NULL,
  rental_id integer NOT NULL,
  amount numeric(5,2) NOT NULL,
  payment_date timestamp NOT NULL
);

CREATE TRIGGER film_fulltext_trigger BEFORE INSERT OR UPDATE ON film
  FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger('fulltext', 'pg_catalog.english', 'title', 'description');
`;

/** Every foreign key: the table, its column, and the table whose key (`<table>_id`) it names. */
const references = [
  ['city', 'country_id', 'country'],
  ['address', 'city_id', 'city'],
  ['film', 'language_id', 'language'],
  ['film_actor', 'actor_id', 'actor'],
  ['film_actor', 'film_id', 'film'],
  ['film_category', 'film_id', 'film'],
  ['film_category', 'category_id', 'category'],
  ['store', 'manager_staff_id', 'staff'],
  ['store', 'address_id', 'address'],
  ['staff', 'address_id', 'address'],
  ['staff', 'store_id', 'store'],
  ['customer', 'store_id', 'store'],
  ['customer', 'address_id', 'address'],
  ['inventory', 'film_id', 'film'],
  ['inventory', 'store_id', 'store'],
  ['rental', 'inventory_id', 'inventory'],
  ['rental', 'customer_id', 'customer'],
  ['rental', 'staff_id', 'staff'],
  ['payment', 'customer_id', 'customer'],
  ['payment', 'staff_id', 'staff'],
  ['payment', 'rental_id', 'rental'],
] as const;

const foreignKeys = references
  .map(
    ([table, column, other]) =>
      `ALTER TABLE ${table} ADD CONSTRAINT ${table}_${column}_fkey FOREIGN KEY (${column}) ` +
      `REFERENCES ${other} (${other}_id) ON UPDATE CASCADE ON DELETE RESTRICT;`,
  )
  .join('\n');

const indexes = `
CREATE INDEX idx_actor_last_name ON actor (last_name);
CREATE INDEX idx_fk_country_id ON city (country_id);
CREATE INDEX idx_fk_city_id ON address (city_id);
CREATE INDEX idx_fk_store_id ON customer (store_id);
CREATE INDEX idx_fk_address_id ON customer (address_id);
CREATE INDEX idx_last_name ON customer (last_name);
CREATE INDEX idx_title ON film (title);
CREATE INDEX idx_fk_language_id ON film (language_id);
CREATE INDEX film_fulltext_idx ON film USING gist (fulltext);
CREATE INDEX idx_fk_film_id ON film_actor (film_id);
CREATE INDEX idx_store_id_film_id ON inventory (store_id, film_id);
CREATE INDEX idx_fk_inventory_id ON rental (inventory_id);
CREATE UNIQUE INDEX idx_unq_rental_rental_date_inventory_id_customer_id
  ON rental (rental_date, inventory_id, customer_id);
CREATE INDEX idx_fk_customer_id ON payment (customer_id);
CREATE INDEX idx_fk_staff_id ON payment (staff_id);
CREATE INDEX idx_fk_rental_id ON payment (rental_id);
CREATE UNIQUE INDEX idx_unq_manager_staff_id ON store (manager_staff_id);
`;

/** The tables that note when each row changed last. */
const updated = [
  'country',
  'city',
  'address',
  'language',
  'category',
  'actor',
  'film',
  'film_actor',
  'film_category',
  'store',
  'staff',
  'customer',
  'inventory',
  'rental',
] as const;

const triggers = `
CREATE FUNCTION last_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.last_update := CURRENT_TIMESTAMP;
  RETURN NEW;
END $$;
${updated
  .map((table) => `CREATE TRIGGER last_updated BEFORE UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION last_updated();`)
  .join('\n')}
`;

const functions = `
CREATE FUNCTION inventory_held_by_customer(p_inventory_id integer) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT customer_id FROM rental WHERE inventory_id = p_inventory_id AND return_date IS NULL
$$;
CREATE FUNCTION inventory_in_stock(p_inventory_id integer) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (SELECT FROM rental WHERE inventory_id = p_inventory_id AND return_date IS NULL)
$$;
CREATE FUNCTION film_in_stock(p_film_id integer, p_store_id integer) RETURNS SETOF integer LANGUAGE sql STABLE AS $$
  SELECT inventory_id FROM inventory
  WHERE film_id = p_film_id AND store_id = p_store_id AND inventory_in_stock(inventory_id)
$$;
CREATE FUNCTION film_not_in_stock(p_film_id integer, p_store_id integer) RETURNS SETOF integer LANGUAGE sql STABLE AS $$
  SELECT inventory_id FROM inventory
  WHERE film_id = p_film_id AND store_id = p_store_id AND NOT inventory_in_stock(inventory_id)
$$;
CREATE FUNCTION last_day(timestamp) RETURNS date LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT (date_trunc('month', $1) + interval '1 month - 1 day')::date
$$;

CREATE FUNCTION _group_concat(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT concat_ws(', ', $1, $2)
$$;
CREATE AGGREGATE group_concat(text) (SFUNC = _group_concat, STYPE = text);
`;

const views = `
CREATE VIEW actor_info AS
  SELECT actor.actor_id, actor.first_name, actor.last_name,
    group_concat(in_category.name || ': ' || in_category.titles ORDER BY in_category.name) AS film_info
  FROM actor LEFT JOIN (
    SELECT film_actor.actor_id, category.name, group_concat(film.title ORDER BY film.title) AS titles
    FROM film_actor JOIN film USING (film_id) JOIN film_category USING (film_id) JOIN category USING (category_id)
    GROUP BY film_actor.actor_id, category.name
  ) in_category USING (actor_id)
  GROUP BY actor.actor_id;

CREATE VIEW customer_list AS
  SELECT customer.customer_id AS id, customer.first_name || ' ' || customer.last_name AS name, address.address,
    address.postal_code AS "zip code", address.phone, city.city, country.country,
    CASE WHEN customer.activebool THEN 'active' ELSE '' END AS notes, customer.store_id AS sid
  FROM customer JOIN address USING (address_id) JOIN city USING (city_id) JOIN country USING (country_id);

CREATE VIEW staff_list AS
  SELECT staff.staff_id AS id, staff.first_name || ' ' || staff.last_name AS name, address.address,
    address.postal_code AS "zip code", address.phone, city.city, country.country, staff.store_id AS sid
  FROM staff JOIN address USING (address_id) JOIN city USING (city_id) JOIN country USING (country_id);

CREATE VIEW film_list AS
  SELECT film.film_id AS fid, film.title, film.description, category.name AS category, film.rental_rate AS price,
    film.length, film.rating,
    group_concat(actor.first_name || ' ' || actor.last_name ORDER BY actor.last_name, actor.first_name) AS actors
  FROM film JOIN film_category USING (film_id) JOIN category USING (category_id)
    JOIN film_actor ON film_actor.film_id = film.film_id JOIN actor USING (actor_id)
  GROUP BY film.film_id, category.name;

CREATE VIEW nicer_but_slower_film_list AS
  SELECT film.film_id AS fid, film.title, film.description, category.name AS category, film.rental_rate AS price,
    film.length, film.rating,
    group_concat(initcap(actor.first_name || ' ' || actor.last_name) ORDER BY actor.actor_id) AS actors
  FROM film JOIN film_category USING (film_id) JOIN category USING (category_id)
    JOIN film_actor ON film_actor.film_id = film.film_id JOIN actor USING (actor_id)
  GROUP BY film.film_id, category.name;

CREATE VIEW sales_by_film_category AS
  SELECT category.name AS category, sum(payment.amount) AS total_sales
  FROM payment JOIN rental USING (rental_id) JOIN inventory USING (inventory_id)
    JOIN film_category USING (film_id) JOIN category USING (category_id)
  GROUP BY category.name
  ORDER BY total_sales DESC;

CREATE VIEW sales_by_store AS
  SELECT city.city || ', ' || country.country AS store, staff.first_name || ' ' || staff.last_name AS manager,
    sum(payment.amount) AS total_sales
  FROM payment JOIN rental USING (rental_id) JOIN inventory USING (inventory_id) JOIN store USING (store_id)
    JOIN address ON address.address_id = store.address_id JOIN city USING (city_id) JOIN country USING (country_id)
    JOIN staff ON staff.staff_id = store.manager_staff_id
  GROUP BY store.store_id, city.city, country.country, staff.first_name, staff.last_name
  ORDER BY country.country, city.city;
`;

export const afterLoading = [foreignKeys, indexes, triggers, functions, views].join('\n');
