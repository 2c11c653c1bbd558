"""Statements that use what is special to MySQL 9 or MariaDB 11, as an attacker would try it.

Each is a template: `<t>` and `<u>` are two tables (each the same throughout), `<c>` and `<d>` columns of theirs, `<k>`
and `<l>` ones that stay the same, `<e>` an expression, `<w>` a condition. What one server does not know is an error
there, and no finding.
"""

TEMPLATES = tuple(
    line.strip()
    for line in r"""
    SELECT l.x FROM <t> t, LATERAL (SELECT t.<c> AS x) l
    SELECT <t>.<c>, l.x FROM <t> JOIN LATERAL (SELECT <d> AS x FROM <u> WHERE <w> LIMIT 1) AS l ON TRUE
    SELECT * FROM (SELECT <c>, <c> FROM <t>) AS x (a, b)
    SELECT b FROM (SELECT <c>, <d> FROM <t>, <u>) AS x (a, b) WHERE a > <e>
    SELECT * FROM (VALUES ROW(1, 2), ROW(<e>, 3)) AS v (a, b)
    SELECT * FROM (TABLE <t>) AS v
    WITH x (a, b) AS (SELECT <c>, <c> FROM <t>), <u> AS (SELECT a FROM x) SELECT * FROM <u>
    WITH <t> AS (SELECT * FROM <t>) SELECT <c> FROM <t>
    WITH <t> AS (SELECT 1 AS <k>) SELECT <k>, (SELECT <k> FROM shop.<t> LIMIT 1) FROM <t>
    WITH RECURSIVE <t> AS (SELECT 1 AS <k> UNION ALL SELECT <k> + 1 FROM <t> WHERE <k> < 3) SELECT * FROM <t>, <u>
    WITH RECURSIVE x (n) AS (SELECT <c> FROM <t> UNION SELECT n FROM x) CYCLE n RESTRICT SELECT * FROM x
    SELECT (WITH x AS (SELECT <k> FROM <t>) SELECT MAX(<k>) FROM x) FROM <u>
    SELECT * FROM (WITH <u> AS (SELECT <c> FROM <t>) SELECT * FROM <u>) z, <u>
    (WITH <u> AS (SELECT <c> FROM <t>) SELECT * FROM <u>) UNION SELECT <d> FROM <u>
    WITH <u> AS (WITH <t> AS (SELECT 1 AS x) SELECT x FROM <t>) SELECT <c> FROM <u>, <t>
    WITH <u> AS (SELECT <k> FROM <t>) SELECT <u>.<k>, (SELECT COUNT(*) FROM shop.<u>) FROM <u>
    SELECT 1 FROM <t> WHERE <c> IN (WITH <u> AS (SELECT <c> FROM <t>) SELECT * FROM <u>) OR 1 IN (SELECT <d> FROM <u>)
    WITH <u> AS (SELECT <c> FROM <t>), x AS (TABLE <u>) SELECT * FROM x UNION SELECT * FROM (SELECT <d> FROM <u>) z
    WITH <u> AS (SELECT <c> FROM <t>), x AS (SELECT * FROM <u>) SELECT * FROM x, <u>
    SELECT <c> FROM <t> EXCEPT SELECT <d> FROM <u> INTERSECT SELECT <d> FROM <u>
    (SELECT <c> FROM <t> ORDER BY <e> LIMIT 1) UNION (SELECT <d> FROM <u>) ORDER BY 1 LIMIT 2
    ((SELECT <c> FROM <t>) INTERSECT ALL (SELECT <d> FROM <u>)) EXCEPT ALL SELECT <e>
    SELECT <k> FROM <t> UNION SELECT <l> FROM <u> ORDER BY <k>
    SELECT <c> FROM <t> UNION ALL SELECT <e> ORDER BY (SELECT <d> FROM <u> LIMIT 1)
    TABLE <t> UNION TABLE <u>
    TABLE <t> ORDER BY (SELECT <d> FROM <u> LIMIT 1) LIMIT 2
    TABLE <t> ORDER BY <c> LIMIT 1 INTO OUTFILE 'x'
    VALUES ROW(1, (SELECT <c> FROM <t> LIMIT 1)), ROW(2, <e>) ORDER BY column_1
    VALUES (1, (SELECT <c> FROM <t> LIMIT 1)), (2, <e>)
    SELECT <c> FROM <t> PARTITION (p0)
    SELECT o.<c> FROM <t> PARTITION (p0, p1) AS o USE INDEX (PRIMARY) WHERE <w>
    SELECT <c> FROM <t> USE INDEX FOR JOIN (PRIMARY) IGNORE INDEX FOR GROUP BY (ix_cust)
    SELECT ROW_NUMBER() OVER w, SUM(<c>) OVER (w ROWS 1 PRECEDING) FROM <t> WINDOW w AS (PARTITION BY <c> ORDER BY <c>)
    SELECT <c> FROM <t> WINDOW w AS (ORDER BY (SELECT <d> FROM <u> LIMIT 1))
    SELECT <c> FROM <t> QUALIFY ROW_NUMBER() OVER (ORDER BY <c>) = 1
    SELECT <k> FROM <t> GROUP BY <k> WITH ROLLUP HAVING GROUPING(<k>) = 0
    SELECT <c> FROM <t> GROUP BY ROLLUP (<c>)
    SELECT FIRST_VALUE(<c>) IGNORE NULLS OVER (ORDER BY <c>) FROM <t>
    SELECT NTH_VALUE(<c>, 2) FROM FIRST RESPECT NULLS OVER (ORDER BY <c>) FROM <t>
    SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY <c>) OVER (PARTITION BY <c>) FROM <t>
    SELECT MEDIAN(<c>) OVER (PARTITION BY <c>), CUME_DIST() OVER (ORDER BY <c>) FROM <t>
    SELECT profile->'$.lang', profile->>'$**.x', <c> FROM customers, <t>
    SELECT JSON_VALUE(profile, '$.age' RETURNING CHAR(10) DEFAULT 'x' ON EMPTY NULL ON ERROR) FROM customers
    SELECT j.a FROM <t>, JSON_TABLE(<e>, '$[*]' COLUMNS (a INT PATH '$' DEFAULT '0' ON EMPTY)) AS j
    SELECT <e> MEMBER OF (profile), <c> MEMBER OF ('[1]') FROM customers, <t>
    SELECT JSON_ARRAYAGG(<c>), JSON_OBJECTAGG(<c>, <c>), JSON_OBJECTAGG(KEY <c> VALUE <c>) FROM <t>
    SELECT JSON_DUALITY_OBJECT('x': <c>) FROM <t>
    SELECT JSON_ARRAYAGG(<c> ORDER BY <c> LIMIT 1) FROM <t>
    SELECT CAST(profile->'$.tags' AS UNSIGNED ARRAY), CAST(<e> AS JSON), CONVERT(<e>, BINARY(3)) FROM customers
    SELECT CAST(<c> AT TIME ZONE '+00:00' AS DATETIME), CAST(<c> AS INTERVAL DAY_SECOND(6)) FROM <t>
    SELECT CAST(<c> AS CHAR(3) CHARACTER SET binary), CONVERT(<c> USING utf8mb4), CHAR(<e> USING utf8mb4) FROM <t>
    SELECT {fn UPPER(<c>)}, {d '2024-01-01'}, {x <c>} FROM <t>
    SELECT <c> FROM { OJ <t> LEFT OUTER JOIN <u> ON <w> }
    SELECT @a := <c>, @a, @@version FROM <t>
    SELECT /*+ SET_VAR(sql_mode='ANSI_QUOTES') */ "<c>" FROM <t>
    SELECT /*+ BKA(<t>) */ <c> FROM <t>
    SELECT <c> FROM <t> WHERE MATCH (title, description) AGAINST (<e> IN BOOLEAN MODE)
    SELECT MATCH (<k>) AGAINST ('x' WITH QUERY EXPANSION) FROM <t> HAVING <e>
    SELECT <c> || <c>, <c> || 'x', <c> && <e>, ! <c>, NOT <c>, ~ <c>, - <c>, <c> MOD 2, <c> % 2 FROM <t>
    SELECT _utf8mb4 X'414243', _utf8mb4'x' COLLATE utf8mb4_bin, N'<c>', n'x', X'41', b'1', 0b1, _binary 'x' FROM <t>
    SELECT _utf8mb4 <c>, _binary <c>, BINARY <c>, <c> COLLATE utf8mb4_bin FROM <t>
    SELECT _latin1 X'41', _gbk'x', _ucs2 0x0041
    SELECT 'x' '<c>' "<d>" FROM <t>
    SELECT DATE_ADD(<c>, INTERVAL <e> DAY), <c> + INTERVAL 1 DAY, INTERVAL 1 DAY + <c>, INTERVAL(<e>, 1, <c>) FROM <t>
    SELECT <c> - INTERVAL (SELECT <d> FROM <u> LIMIT 1) SECOND, DATE <e>, TIMESTAMP '2024-01-01 00:00:00' FROM <t>
    SELECT EXTRACT(DAY_HOUR FROM <c>), TRIM(LEADING <e> FROM <c>) FROM <t>
    SELECT SUBSTRING(<c> FROM 2 FOR 3), POSITION(<e> IN <c>) FROM <t>
    SELECT GROUP_CONCAT(DISTINCT <c> ORDER BY <c> DESC SEPARATOR ''), GROUP_CONCAT(<c> ORDER BY <e> LIMIT 1) FROM <t>
    SELECT <c> FROM <t> WHERE (<c>, <c>) IN (SELECT <d>, <d> FROM <u>)
    SELECT <c> FROM <t> WHERE ROW(<c>, <c>) >= ALL (SELECT <d>, <d> FROM <u>)
    SELECT <c> FROM <t> WHERE <c> = ANY (TABLE <u>)
    SELECT <c> FROM <t> WHERE <c> IN (VALUES ROW(<e>)) OR EXISTS (TABLE <u>)
    SELECT <c> FROM <t> WHERE <c> LIKE <e> ESCAPE '|' OR <c> SOUNDS LIKE <e> OR <c> RLIKE <e> OR <c> IS NOT UNKNOWN
    SELECT <c> FROM <t> WHERE <c> BETWEEN <e> AND <e> AND <c> NOT BETWEEN (SELECT <d> FROM <u> LIMIT 1) AND <e>
    SELECT <c> FROM <t> WHERE CASE <c> WHEN <e> THEN (SELECT <d> FROM <u> LIMIT 1) END
    SELECT VEC_DISTANCE_EUCLIDEAN(<c>, VEC_FromText('[1,2]')), VEC_ToText(<c>) FROM <t>
    SELECT DISTANCE(<c>, STRING_TO_VECTOR('[1]'), 'COSINE'), VECTOR_DIM(<c>), VECTOR_TO_STRING(<c>) FROM <t>
    SELECT <c> FROM <t> FOR SYSTEM_TIME ALL
    SELECT <c> FROM <t> FOR SYSTEM_TIME AS OF TIMESTAMP '2024-01-01' AS z
    SELECT <t>.<c>, row_start, row_end FROM <t>, orders o
    SELECT <c> FROM <t> LIMIT 1 ROWS EXAMINED 100
    SELECT <c> FROM <t> ORDER BY <e> OFFSET 1 ROW FETCH NEXT 1 ROW WITH TIES
    SELECT <c> FROM <t> LIMIT 1, 2
    SELECT <c> FROM <t> PROCEDURE ANALYSE()
    SELECT <c> FROM <t> INTO DUMPFILE 'x'
    SELECT <c> INTO @a FROM <t>
    SELECT <c> FROM <t> FOR UPDATE OF <t> SKIP LOCKED
    SELECT <c> FROM <t> FOR SHARE NOWAIT
    SELECT ANY_VALUE(<c>), BIT_COUNT(<c>), ST_AsText(<c>), UUID_TO_BIN(<c>), ETAG(<c>) FROM <t>
    SELECT COLUMN_GET(<c>, 'x' AS CHAR), COLUMN_JSON(<c>), SFORMAT('{}', <c>), NATURAL_SORT_KEY(<c>) FROM <t>
    SELECT DATE_FORMAT(<c>, '%d', 'de_DE'), TO_CHAR(<c>, 'YYYY'), UUID_V7(), FORMAT(<c>, 2, 'de_DE') FROM <t>
    SELECT DEFAULT(<c>), VALUES(<c>), VALUE(<c>) FROM <t>
    SELECT shop.<t>.<c>, <t>.<c>, `<t>`.`<c>`, <u>.<d> FROM <t>, <u>
    SELECT <u>.<c> FROM <t> <u>
    SELECT <u>.<c>, <t>.<d> FROM <t> <u>, <u> <t>
    SELECT <k> <l> FROM <t> HAVING <l> IS NOT NULL ORDER BY <l>
    SELECT <k> AS <l>, (SELECT <l> FROM <u> LIMIT 1) FROM <t> GROUP BY <l>
    SELECT (SELECT <c> FROM <u> LIMIT 1) FROM <t>
    SELECT SQL_CACHE <c> FROM <t>
    SELECT SQL_NO_CACHE SQL_BUFFER_RESULT <c>, HIGH_PRIORITY <c> FROM <t>
    SELECT BINARY BINARY <c>, <c> = BINARY <c> FROM <t>
    SELECT _rowid, <t>._rowid, `_ROWID` FROM <t> WHERE _rowid = 1
    UPDATE <t> SET <c> = <e> WHERE _rowid = 1
    SELECT * FROM <t> NATURAL JOIN <u>
    SELECT * FROM <t> NATURAL LEFT OUTER JOIN (SELECT <d> FROM <u>) z
    SELECT z.* FROM <t> JOIN (SELECT * FROM <u>) z USING (id, <k>)
    SELECT <t>.<c> FROM <t> LEFT JOIN (<u> CROSS JOIN products z) ON <t>.<c> = <u>.<d>
    SELECT <c> FROM <t> FULL OUTER JOIN <u> USING (id)
    SELECT <u>.<d> FROM ((<t>)), (<u> JOIN <t> z ON z.<c>)
    SELECT b.<d> FROM <t> a JOIN <u> b JOIN <t> c ON c.<c> = b.<d> ON a.<c>
    SELECT STRAIGHT_JOIN <c> FROM <t> STRAIGHT_JOIN <u> ON <w>
    SELECT IF(<t>.<c>, (SELECT <d> FROM <u> LIMIT 1), <c>) FROM <t>
    SELECT COUNT(*), COUNT(<t>.*), COUNT(DISTINCT <c>, <c>), SUM(<c>) FILTER (WHERE <w>) FROM <t>
    SELECT NEXT VALUE FOR seq, PREVIOUS VALUE FOR seq, LASTVAL(seq), SETVAL(seq, 5), seq.nextval FROM <t>
    SELECT CURRENT_USER, CURRENT_ROLE, SESSION_USER(), SCHEMA(), CONNECTION_ID(), ROW_COUNT() FROM <t>
    SELECT TRIM(<c>), (<c>), ((<c>)), +<c>, <c> IS TRUE, <c> DIV 1, <c> XOR 1, <c> <=> NULL, <c> >> 1, <c> ^ 1 FROM <t>
    SELECT TRUE, FALSE, NULL, \N, .5, 1., 1e5, 0xFF, DATE'2024-01-01' FROM <t>
    EXPLAIN FORMAT=JSON SELECT <c> FROM <t> WHERE <w>
    EXPLAIN FORMAT=TREE UPDATE <t> SET <c> = <e> WHERE <w>
    EXPLAIN ANALYZE SELECT <c> FROM <t>
    ANALYZE FORMAT=JSON DELETE FROM <t>
    ANALYZE UPDATE <t> SET <c> = <e>
    EXPLAIN FORMAT=JSON INTO @x SELECT <c> FROM <t>
    EXPLAIN FOR SCHEMA secret_db SELECT * FROM flags
    EXPLAIN FOR CONNECTION 1
    EXPLAIN EXTENDED SELECT <c> FROM <t>
    DESCRIBE <t> '<c>%'
    DESCRIBE secret_db.flags flag
    SHOW FULL COLUMNS FROM <t> FROM secret_db
    SHOW FULL TABLES IN shop LIKE '%'
    SHOW TABLES WHERE <e>
    SHOW INDEX FROM <t> WHERE <e>
    SHOW CREATE VIEW v_secret
    SHOW CREATE TABLE v_secret
    CALL p_leak
    CALL p_count(1, 'x')
    CALL shop.p_count(?, ?)
    CALL `p_count`(-1, NULL)
    CALL p_count(<e>, <e>)
    CALL p_count((SELECT <c> FROM <t> LIMIT 1), 'x')
    CALL secret_db.p_count(1, 'x')
    CALL p_count(1, LOAD_FILE('x'))
    CALL shop.p_leak(<e>)
    INSERT INTO <t> (id, <k>) VALUES (1, <e>) AS n ON DUPLICATE KEY UPDATE <k> = n.<k>
    INSERT INTO <t> (id, <k>) VALUES (1, <e>) AS <u> ON DUPLICATE KEY UPDATE <k> = <u>.<k>
    INSERT INTO <t> (id, <k>) VALUES (1, <e>) AS n (i, <l>) ON DUPLICATE KEY UPDATE <k> = <l>
    INSERT INTO <t> (id, <k>) VALUES (1, <e>) AS n (i, j) ON DUPLICATE KEY UPDATE <k> = CONCAT(j, <k>)
    INSERT INTO <t> (id, <k>) SELECT 1, <l> FROM <u> ON DUPLICATE KEY UPDATE <k> = <l>
    INSERT INTO <t> (id, <k>) SELECT * FROM (SELECT 1, <l> FROM <u>) AS n (a, b) ON DUPLICATE KEY UPDATE <k> = b
    INSERT INTO <t> (id, <k>) VALUES (1, <e>) ON DUPLICATE KEY UPDATE <k> = VALUE(<k>), <k> = VALUES(<k>)
    INSERT INTO <t> (id, <k>) VALUES (1, <e>) ON DUPLICATE KEY UPDATE <k> = LENGTH(<k>), <k> = IF(<w>, <e>, <e>)
    INSERT INTO <t> (id, <k>) VALUES (1, <e>) ON DUPLICATE KEY UPDATE <k> = (SELECT <l> FROM <u> LIMIT 1)
    INSERT INTO <t> SET id = 1, <k> = <k>, <k> = (SELECT <l> FROM <u> LIMIT 1) AS n ON DUPLICATE KEY UPDATE <k> = n.<k>
    INSERT INTO <t> (id, <k>) WITH x AS (SELECT <l> FROM <u>) SELECT 9, <l> FROM x
    INSERT INTO <t> (id, <k>) (WITH <t> AS (SELECT <l> FROM <u>) SELECT 9, <l> FROM <t>)
    INSERT INTO <t> (id, <c>) TABLE <u>
    REPLACE INTO <t> TABLE <u>
    INSERT INTO <t> TABLE <t>
    INSERT INTO <t> (id, <c>) VALUES ROW(8, <e>), ROW(9, <e>)
    INSERT INTO <t> (id, <c>) VALUES (8, <c>), (9, DEFAULT(<c>)), (10, <t>.<c>)
    INSERT INTO <t> PARTITION (p0) (id, <c>) VALUES (8, <e>)
    INSERT IGNORE INTO <t> (id, <c>) VALUES (1, <e>) RETURNING id, (SELECT <d> FROM <u> LIMIT 1)
    REPLACE INTO <t> (id, <c>) VALUES (1, <e>) RETURNING <c>, id
    INSERT INTO <t> (id, <c>) VALUES (8, (<c> + 1)) RETURNING (<c>), <t>.<c>, <t>.*
    INSERT INTO <t> VALUES (), (), ()
    INSERT DELAYED INTO <t> (<c>) VALUES (<e>)
    INSERT INTO <t> (<t>.id, shop.<t>.<c>) VALUES (8, <e>)
    REPLACE DELAYED <t> (id, <c>) SELECT 1, <d> FROM <u>
    UPDATE <t> JOIN <u> USING (id) SET <t>.<c> = <u>.<d> WHERE <w>
    UPDATE <t> LEFT JOIN <u> ON <t>.<c> = <u>.<d> SET <t>.<c> = <e>, <u>.<d> = DEFAULT
    UPDATE <t> NATURAL JOIN <u> SET <c> = <e>
    UPDATE <t> <u>, <u> <t> SET <u>.<c> = <t>.<d> WHERE <u>.<c> = 1
    UPDATE <t> PARTITION (p0) SET <c> = <e> WHERE <w>
    UPDATE <t>, (SELECT <d> AS x FROM <u>) z SET <c> = z.x
    UPDATE <t>, LATERAL (SELECT <d> AS x FROM <u> WHERE <w>) z SET <c> = z.x
    UPDATE (SELECT * FROM <t>) x SET x.<c> = <e>
    UPDATE <t> SET <c> = (SELECT <d> FROM <u> WHERE <u>.id = <t>.id LIMIT 1) ORDER BY <e> LIMIT 1
    UPDATE <t> SET <c> = DEFAULT, <c> = DEFAULT(<c>), <c> = <e> WHERE <w>
    UPDATE <t> SET <c> = <e> WHERE <w> RETURNING <c>
    UPDATE <t> FOR PORTION OF p FROM 1 TO 2 SET <c> = <e>
    UPDATE <t> USE INDEX (PRIMARY) SET shop.<t>.<c> = <e> WHERE id = 1
    WITH x AS (SELECT <d> AS y FROM <u>) UPDATE <t> JOIN x SET <c> = x.y
    WITH <u> AS (SELECT <k> FROM <t>) UPDATE <u> SET <k> = <e>
    WITH <t> AS (SELECT * FROM <u>) UPDATE <t>, shop.<t> z SET z.<c> = <e>
    WITH <u> AS (SELECT <c> FROM <t>) DELETE <u> FROM <u>
    WITH <u> AS (SELECT id FROM <t>) DELETE z FROM <t> z JOIN <u> ON z.id = <u>.id
    DELETE <t> FROM <u> AS <t>
    DELETE <t> FROM <u> <t> JOIN <t> z
    DELETE <u> FROM <t> <u> WHERE <u>.<c> = 1
    DELETE FROM <t> USING <u> <t>
    DELETE FROM <t> USING <t> JOIN <u> USING (id)
    DELETE x FROM (SELECT * FROM <t>) x
    DELETE a, b FROM <t> a JOIN <u> b ON a.<c> = b.<d>
    DELETE FROM a, b USING <t> a, <u> b
    DELETE <t>.*, shop.<u>.* FROM <t>, <u>
    DELETE FROM <t> AS a WHERE a.<c> = <e>
    DELETE FROM <t> <u> WHERE <u>.<c> = 1
    DELETE FROM <t> AS <u> ORDER BY <u>.<c> LIMIT 1
    DELETE FROM <t> PARTITION (p0) WHERE <w>
    DELETE FROM <t> WHERE <w> RETURNING <c>, (SELECT MAX(<d>) FROM <u>)
    DELETE FROM <t> WHERE <w> ORDER BY <e> LIMIT 1
    DELETE FROM <t> ORDER BY (SELECT <d> FROM <u> LIMIT 1) LIMIT 1
    DELETE HISTORY FROM <t>
    DELETE HISTORY FROM <t> BEFORE SYSTEM_TIME NOW()
    DELETE FROM <t> FOR PORTION OF p FROM 1 TO 2
    """.splitlines()
    if line.strip()
)
