"""The tables and views of the sample database `rental`, as SQL that MariaDB and MySQL, InnoDB and NDB understand.

For NDB's sake: no ENGINE clause (the server's default counts), no triggers and routines, no index on a column's
prefix, no ON DELETE or ON UPDATE action, every foreign key to a primary key. Full text is InnoDB's alone, so it is a
list of its own. A table stands after those that it refers to.
"""

from typing import Final

SCHEMA: Final = "rental"

CREATE_SCHEMA: Final = f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci"

_LAST_UPDATE: Final = "last_update TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"

TABLES: Final[dict[str, str]] = {
    "language": f"""CREATE TABLE language (
  language_id TINYINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name CHAR(20) NOT NULL,
  {_LAST_UPDATE},
  UNIQUE KEY language_name (name)
)""",
    "category": f"""CREATE TABLE category (
  category_id TINYINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(25) NOT NULL,
  {_LAST_UPDATE},
  UNIQUE KEY category_name (name)
)""",
    "actor": f"""CREATE TABLE actor (
  actor_id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  first_name VARCHAR(45) NOT NULL,
  last_name VARCHAR(45) NOT NULL,
  {_LAST_UPDATE},
  KEY actor_last_name (last_name)
)""",
    "film": f"""CREATE TABLE film (
  film_id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  title VARCHAR(128) NOT NULL,
  description TEXT,
  release_year YEAR,
  language_id TINYINT UNSIGNED NOT NULL,
  original_language_id TINYINT UNSIGNED,
  rental_duration TINYINT UNSIGNED NOT NULL DEFAULT 3 COMMENT 'days',
  rental_rate DECIMAL(4,2) NOT NULL DEFAULT 2.50,
  length SMALLINT UNSIGNED COMMENT 'minutes',
  replacement_cost DECIMAL(5,2) NOT NULL DEFAULT 19.50,
  rating ENUM('G','PG','PG-13','R','NC-17') NOT NULL DEFAULT 'G',
  special_features SET('Trailers','Commentary','Deleted Scenes','Interviews') NOT NULL DEFAULT '',
  details JSON,
  {_LAST_UPDATE},
  KEY film_title (title),
  KEY film_language (language_id),
  KEY film_original_language (original_language_id),
  CONSTRAINT film_language_fk FOREIGN KEY (language_id) REFERENCES language (language_id),
  CONSTRAINT film_original_language_fk FOREIGN KEY (original_language_id) REFERENCES language (language_id)
)""",
    "film_actor": f"""CREATE TABLE film_actor (
  actor_id SMALLINT UNSIGNED NOT NULL,
  film_id SMALLINT UNSIGNED NOT NULL,
  {_LAST_UPDATE},
  PRIMARY KEY (actor_id, film_id),
  KEY film_actor_film (film_id),
  CONSTRAINT film_actor_actor_fk FOREIGN KEY (actor_id) REFERENCES actor (actor_id),
  CONSTRAINT film_actor_film_fk FOREIGN KEY (film_id) REFERENCES film (film_id)
)""",
    "film_category": f"""CREATE TABLE film_category (
  film_id SMALLINT UNSIGNED NOT NULL,
  category_id TINYINT UNSIGNED NOT NULL,
  {_LAST_UPDATE},
  PRIMARY KEY (film_id, category_id),
  KEY film_category_category (category_id),
  CONSTRAINT film_category_film_fk FOREIGN KEY (film_id) REFERENCES film (film_id),
  CONSTRAINT film_category_category_fk FOREIGN KEY (category_id) REFERENCES category (category_id)
)""",
    "country": f"""CREATE TABLE country (
  country_id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  country VARCHAR(50) NOT NULL,
  {_LAST_UPDATE},
  UNIQUE KEY country_name (country)
)""",
    "city": f"""CREATE TABLE city (
  city_id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  city VARCHAR(50) NOT NULL,
  country_id SMALLINT UNSIGNED NOT NULL,
  {_LAST_UPDATE},
  KEY city_country (country_id),
  CONSTRAINT city_country_fk FOREIGN KEY (country_id) REFERENCES country (country_id)
)""",
    "address": f"""CREATE TABLE address (
  address_id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  address VARCHAR(50) NOT NULL,
  address2 VARCHAR(50),
  district VARCHAR(20) NOT NULL,
  city_id SMALLINT UNSIGNED NOT NULL,
  postal_code VARCHAR(10),
  phone VARCHAR(20) NOT NULL,
  {_LAST_UPDATE},
  KEY address_city (city_id),
  CONSTRAINT address_city_fk FOREIGN KEY (city_id) REFERENCES city (city_id)
)""",
    "store": f"""CREATE TABLE store (
  store_id TINYINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  address_id SMALLINT UNSIGNED NOT NULL,
  opens TIME NOT NULL,
  closes TIME NOT NULL,
  {_LAST_UPDATE},
  KEY store_address (address_id),
  CONSTRAINT store_address_fk FOREIGN KEY (address_id) REFERENCES address (address_id)
)""",
    "staff": f"""CREATE TABLE staff (
  staff_id TINYINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  first_name VARCHAR(45) NOT NULL,
  last_name VARCHAR(45) NOT NULL,
  address_id SMALLINT UNSIGNED NOT NULL,
  picture BLOB,
  email VARCHAR(80),
  store_id TINYINT UNSIGNED NOT NULL,
  is_manager BOOLEAN NOT NULL DEFAULT FALSE,
  active BOOLEAN NOT NULL DEFAULT TRUE,
  username VARCHAR(16) NOT NULL,
  password CHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  {_LAST_UPDATE},
  UNIQUE KEY staff_username (username),
  KEY staff_store (store_id),
  KEY staff_address (address_id),
  CONSTRAINT staff_store_fk FOREIGN KEY (store_id) REFERENCES store (store_id),
  CONSTRAINT staff_address_fk FOREIGN KEY (address_id) REFERENCES address (address_id)
)""",
    "customer": f"""CREATE TABLE customer (
  customer_id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  store_id TINYINT UNSIGNED NOT NULL,
  first_name VARCHAR(45) NOT NULL,
  last_name VARCHAR(45) NOT NULL,
  email VARCHAR(80),
  birth_date DATE,
  address_id SMALLINT UNSIGNED NOT NULL,
  active BOOLEAN NOT NULL DEFAULT TRUE,
  create_date DATETIME NOT NULL,
  {_LAST_UPDATE},
  KEY customer_store (store_id),
  KEY customer_address (address_id),
  KEY customer_last_name (last_name),
  CONSTRAINT customer_store_fk FOREIGN KEY (store_id) REFERENCES store (store_id),
  CONSTRAINT customer_address_fk FOREIGN KEY (address_id) REFERENCES address (address_id)
)""",
    "inventory": f"""CREATE TABLE inventory (
  inventory_id MEDIUMINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  film_id SMALLINT UNSIGNED NOT NULL,
  store_id TINYINT UNSIGNED NOT NULL,
  {_LAST_UPDATE},
  KEY inventory_film (film_id),
  KEY inventory_store_film (store_id, film_id),
  CONSTRAINT inventory_film_fk FOREIGN KEY (film_id) REFERENCES film (film_id),
  CONSTRAINT inventory_store_fk FOREIGN KEY (store_id) REFERENCES store (store_id)
)""",
    "rental": f"""CREATE TABLE rental (
  rental_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  rental_date DATETIME NOT NULL,
  inventory_id MEDIUMINT UNSIGNED NOT NULL,
  customer_id SMALLINT UNSIGNED NOT NULL,
  return_date DATETIME,
  staff_id TINYINT UNSIGNED NOT NULL,
  {_LAST_UPDATE},
  UNIQUE KEY rental_date_inventory_customer (rental_date, inventory_id, customer_id),
  KEY rental_inventory (inventory_id),
  KEY rental_customer (customer_id),
  KEY rental_staff (staff_id),
  CONSTRAINT rental_inventory_fk FOREIGN KEY (inventory_id) REFERENCES inventory (inventory_id),
  CONSTRAINT rental_customer_fk FOREIGN KEY (customer_id) REFERENCES customer (customer_id),
  CONSTRAINT rental_staff_fk FOREIGN KEY (staff_id) REFERENCES staff (staff_id)
)""",
    "payment": f"""CREATE TABLE payment (
  payment_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id SMALLINT UNSIGNED NOT NULL,
  staff_id TINYINT UNSIGNED NOT NULL,
  rental_id INT,
  amount DECIMAL(5,2) NOT NULL,
  payment_date DATETIME NOT NULL,
  {_LAST_UPDATE},
  KEY payment_customer (customer_id),
  KEY payment_staff (staff_id),
  KEY payment_rental (rental_id),
  CONSTRAINT payment_customer_fk FOREIGN KEY (customer_id) REFERENCES customer (customer_id),
  CONSTRAINT payment_staff_fk FOREIGN KEY (staff_id) REFERENCES staff (staff_id),
  CONSTRAINT payment_rental_fk FOREIGN KEY (rental_id) REFERENCES rental (rental_id)
)""",
}

# With the rights of who asks, not of who loaded the sample: a view must not open what an account may not read.
VIEWS: Final[tuple[str, ...]] = (
    """CREATE SQL SECURITY INVOKER VIEW film_list AS
  SELECT f.film_id, f.title, c.name AS category, l.name AS language, f.length, f.rating, f.rental_rate
  FROM film f
  JOIN language l ON l.language_id = f.language_id
  JOIN film_category fc ON fc.film_id = f.film_id
  JOIN category c ON c.category_id = fc.category_id""",
    """CREATE SQL SECURITY INVOKER VIEW customer_list AS
  SELECT cu.customer_id, cu.first_name, cu.last_name, a.address, a.postal_code, ci.city, co.country, cu.store_id
  FROM customer cu
  JOIN address a ON a.address_id = cu.address_id
  JOIN city ci ON ci.city_id = a.city_id
  JOIN country co ON co.country_id = ci.country_id""",
    """CREATE SQL SECURITY INVOKER VIEW sales_by_store AS
  SELECT s.store_id, ci.city, co.country, SUM(p.amount) AS total_sales
  FROM payment p
  JOIN rental r ON r.rental_id = p.rental_id
  JOIN inventory i ON i.inventory_id = r.inventory_id
  JOIN store s ON s.store_id = i.store_id
  JOIN address a ON a.address_id = s.address_id
  JOIN city ci ON ci.city_id = a.city_id
  JOIN country co ON co.country_id = ci.country_id
  GROUP BY s.store_id, ci.city, co.country""",
)

FULL_TEXT: Final[tuple[str, ...]] = ("ALTER TABLE film ADD FULLTEXT KEY film_text (title, description)",)
