"""Statements as ordinary applications send them, over the fuzzed server's tables: what the mutations start from.

Each was tried on MariaDB 10.11 and MySQL 9.7; some are of one of them alone.
"""

OWN = tuple(
    line.strip()
    for line in r"""
    SELECT CONVERT(id, CHAR(10)), CONVERT(name USING utf8mb4), CONVERT(id, UNSIGNED) FROM customers
    SELECT CAST(name AS CHAR(10) CHARACTER SET utf8mb4) FROM customers
    SELECT DATE_FORMAT(created_at, '%Y-%m') AS m, COUNT(*) FROM orders GROUP BY m ORDER BY m
    SELECT DATE '2024-01-01', TIME '10:00:00', TIMESTAMP '2024-01-01 00:00:00'
    SELECT GROUP_CONCAT(DISTINCT name ORDER BY name DESC SEPARATOR '; ') FROM customers
    SELECT COUNT(DISTINCT customer_id, product_id), SUM(DISTINCT qty), STDDEV(total), BIT_OR(qty) FROM orders
    SELECT id, AVG(total) OVER (ORDER BY created_at RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND CURRENT ROW) FROM orders
    SELECT * FROM orders WHERE (customer_id, product_id) IN ((1,1),(2,1))
    SELECT * FROM orders WHERE (customer_id, product_id) = (1,1)
    SELECT * FROM orders WHERE ROW(customer_id, product_id) = ROW(1,1)
    SELECT * FROM customers NATURAL LEFT JOIN orders
    SELECT * FROM customers c JOIN (orders o JOIN products p ON p.id = o.product_id) ON o.customer_id = c.id
    SELECT * FROM customers c LEFT JOIN (orders o, products p) ON o.customer_id = c.id AND p.id = o.product_id
    SELECT STRAIGHT_JOIN c.id FROM customers c STRAIGHT_JOIN orders o ON o.customer_id = c.id
    SELECT DISTINCTROW city FROM customers
    SELECT SQL_NO_CACHE HIGH_PRIORITY id FROM customers
    SELECT DISTINCT SQL_CALC_FOUND_ROWS id FROM customers LIMIT 1
    SELECT id FROM customers FORCE INDEX (PRIMARY) WHERE id=1
    SELECT id FROM customers IGNORE INDEX FOR ORDER BY (PRIMARY) ORDER BY id
    SELECT id FROM customers USE INDEX () WHERE id=1
    SELECT city, COUNT(*) c FROM customers GROUP BY city HAVING c > 1 ORDER BY NULL
    SELECT city, COUNT(*) FROM customers GROUP BY city DESC
    (SELECT id FROM customers) UNION ALL (SELECT id FROM orders) ORDER BY id LIMIT 3
    SELECT id FROM customers EXCEPT SELECT customer_id FROM orders
    SELECT id FROM customers INTERSECT SELECT customer_id FROM orders
    SELECT id FROM customers UNION DISTINCT SELECT id FROM orders UNION ALL SELECT id FROM products
    SELECT * FROM (SELECT 1 AS a UNION SELECT 2) t
    SELECT t.a FROM (SELECT 1 AS a) AS t JOIN LATERAL (SELECT t.a + 1 AS b) AS u
    SELECT * FROM (SELECT id, name FROM customers) AS t (a, b)
    WITH x (a, b) AS (SELECT id, name FROM customers) SELECT a FROM x
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n
    SELECT EXISTS (SELECT 1 FROM orders), NOT EXISTS(SELECT 1 FROM customers)
    SELECT CASE id WHEN 1 THEN 'a' ELSE 'b' END, IF(id > 1, 'x', 'y'), IFNULL(city, ''), NULLIF(city, '') FROM customers
    SELECT id FROM customers WHERE id = 1 && id = 1 || id = 2
    SELECT id <=> NULL, id <> 1, id != 2 FROM customers
    SELECT 'a' 'b', "x", N'nat', _utf8mb4'x', _binary'y', x'4142', 0x41, b'01', 0b11, 1e3, .5, 1.5, -1.5e-3, NULL, TRUE
    SELECT 'a' COLLATE utf8mb4_bin, name COLLATE 'utf8mb4_bin', BINARY 'x' FROM customers
    SELECT CHAR(77, 121 USING utf8mb4), CHAR(65)
    SELECT profile->'$.lang', profile->>'$.lang' FROM customers
    SELECT JSON_VALUE(profile, '$.age' RETURNING UNSIGNED) FROM customers
    SELECT JSON_ARRAYAGG(name ORDER BY name) FROM customers
    SELECT 17 MEMBER OF('[23, 17]')
    SELECT MATCH(title, description) AGAINST('x' WITH QUERY EXPANSION) FROM products
    SELECT MATCH(title, description) AGAINST('x' IN NATURAL LANGUAGE MODE WITH QUERY EXPANSION) FROM products
    SELECT id FROM customers LIMIT 2 OFFSET 1
    SELECT id FROM customers ORDER BY id FETCH FIRST 2 ROWS ONLY
    SELECT id AS select_, name 'n', email "e", city `c d` FROM customers
    SELECT customers.id, shop.customers.name, shop.customers.* FROM shop.customers
    SELECT c.`key` FROM (SELECT 1 AS `key`) c
    SELECT c.key FROM (SELECT 1 AS `key`) c
    SELECT date, year, day FROM (SELECT 1 AS date, 2 AS year, 3 AS day) t WHERE date = 1 AND year > 1 ORDER BY day
    SELECT 1 AS rank_, 2 AS row_number_
    SELECT id FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE orders.customer_id = customers.id)
    SELECT id FROM customers PROCEDURE_
    SELECT VALUES_ FROM (SELECT 1 VALUES_) z
    SELECT 1 FROM DUAL WHERE 1
    SELECT 1 WHERE 1
    SELECT ALL id FROM customers
    SELECT id FROM customers AS c ORDER BY c.name COLLATE utf8mb4_general_ci ASC, c.id DESC
    SELECT name FROM customers ORDER BY FIELD(id, 3, 1, 2), RAND()
    SELECT NOW(), NOW(6), CURRENT_TIMESTAMP(3), LOCALTIME, UTC_DATE, SYSDATE()
    SELECT id FROM customers WHERE created_at > DATE_SUB(NOW(), INTERVAL 7 * 24 HOUR)
    SELECT (((1))), ((SELECT 1)), (SELECT (SELECT (SELECT 1)))
    SELECT 1,(2),(3)
    SELECT UUID(), MD5('a'), RAND(), RAND(3)
    INSERT INTO orders (customer_id, product_id, total) VALUES (1, 1, 1.5), (1, 2, DEFAULT(total)), (1, 2, 3)
    INSERT INTO orders VALUES (NULL, 1, 1, DEFAULT, 1.0, DEFAULT, NULL, NOW())
    INSERT INTO orders SET customer_id = 1, product_id = 2, total = 3 + 4
    INSERT orders (customer_id, product_id, total) VALUE (1, 1, 1)
    INSERT LOW_PRIORITY IGNORE INTO orders (customer_id, product_id, total) VALUES (1,1,1)
    INSERT INTO shop.orders (customer_id, product_id, total) SELECT 1, id, price FROM products WHERE stock > 0
    INSERT INTO customers (id, name, email) VALUES (1, 'x', 'y') AS new ON DUPLICATE KEY UPDATE name = new.name
    INSERT INTO customers (id, name, email) VALUES (1, 'x', 'y') AS new(a,b,c) ON DUPLICATE KEY UPDATE name = b
    INSERT INTO customers () VALUES ()
    INSERT INTO orders (customer_id, product_id, total) VALUES (1,1,1) RETURNING id, total * 2 AS t
    INSERT INTO orders (customer_id, product_id, total) VALUES ((SELECT MIN(id) FROM customers), 1, 1)
    INSERT INTO orders (customer_id, product_id, total) (SELECT 1,1,1)
    INSERT INTO orders (customer_id, product_id, total) SELECT 1,1,1 UNION ALL SELECT 2,2,2
    REPLACE INTO orders (id, customer_id, product_id, total) VALUES (1,1,1,1)
    REPLACE orders SET id = 1, customer_id = 1, product_id = 1, total = 1
    REPLACE LOW_PRIORITY INTO orders (id, customer_id, product_id, total) VALUES (1,1,1,1)
    UPDATE orders SET qty = qty + 1, comment = CONCAT(COALESCE(comment, ''), 'x') WHERE id = 1
    UPDATE orders AS o SET o.qty = 1, o.status = DEFAULT WHERE o.id IN (1,2) ORDER BY id DESC LIMIT 1
    UPDATE LOW_PRIORITY IGNORE orders SET qty = 1 WHERE id = 1
    UPDATE orders o, products p SET o.total = p.price * o.qty, p.stock = p.stock - 1 WHERE p.id = o.product_id
    UPDATE orders o INNER JOIN (SELECT id, price FROM products) p ON p.id = o.product_id SET o.total = p.price
    UPDATE orders SET qty = CASE WHEN id = 1 THEN 2 ELSE qty END, total = (SELECT MAX(price) FROM products) WHERE id < 3
    UPDATE shop.orders SET shop.orders.qty = 1 WHERE shop.orders.id = 1
    UPDATE orders SET comment = JSON_SET('{}', '$.a', 1), status = (id = 1 AND qty = 2) WHERE id = 1
    WITH x AS (SELECT id FROM products) UPDATE orders JOIN x ON x.id = orders.product_id SET qty = 1
    DELETE FROM orders WHERE id = 1
    DELETE FROM orders AS o WHERE o.id = 1
    DELETE LOW_PRIORITY QUICK IGNORE FROM orders WHERE id = 1 ORDER BY id LIMIT 1
    DELETE o, p FROM orders o JOIN products p ON p.id = o.product_id WHERE p.stock < 0
    DELETE o.* FROM orders o WHERE o.id = 1
    DELETE FROM o, p USING orders o JOIN products p ON p.id = o.product_id WHERE p.stock < 0
    DELETE FROM o.* USING orders o WHERE o.id = 1
    DELETE shop.orders FROM shop.orders WHERE id = 1
    DELETE FROM orders WHERE id = 1 RETURNING id, total
    DELETE FROM orders WHERE id = 99 ORDER BY id LIMIT 1 RETURNING id
    DELETE FROM orders ORDER BY created_at LIMIT 1 RETURNING *
    WITH x AS (SELECT id FROM products) DELETE FROM orders WHERE product_id IN (SELECT id FROM x)
    SELECT COUNT(*) AS `__count` FROM `customers`
    SELECT (1) AS `a` FROM `customers` WHERE `customers`.`id` = 1 LIMIT 1
    SELECT CAST(DATE_FORMAT(`customers`.`created_at`, '%Y-%m-01 00:00:00') AS DATETIME) AS `m` FROM `customers`
    SELECT anon_1.c FROM (SELECT customers.id AS c FROM customers) AS anon_1
    SELECT customers.id, customers.name FROM customers WHERE customers.id IN (NULL) AND (1 != 1)
    SELECT concat(customers.name, ' ', customers.city) AS concat_1, count(*) AS count_1 FROM customers GROUP BY concat_1
    SELECT JSON_UNQUOTE(JSON_EXTRACT(profile, '$."lang"')) AS anon_1 FROM customers
    SELECT id FROM orders WHERE total IS NOT NULL AND (qty % 2) = 0 AND ((customer_id = 1) XOR (product_id = 2))
    SELECT CASE WHEN (orders.total > 1) THEN 1 WHEN (orders.total > 2) THEN 2 END AS x FROM orders
    SELECT REGEXP_SUBSTR(name, '[a-z]+'), REGEXP_REPLACE(name, 'a', 'b') FROM customers
    SELECT id FROM customers WHERE name REGEXP BINARY 'a'
    """.splitlines()
    if line.strip()
)
