"""Which functions a statement calls, judged on its tokens, and which of them anybody may call.

A parser folds names together (`db.upper(x)` becomes UPPER), so the names are taken from the source. A name counts as
called when "(" follows it and it does not stand in one of the few places where a column list does.
"""

import re
from collections.abc import Sequence
from typing import Final

from contract.errors import Forbidden
from gatekeeper.analysis.lexer import QUOTED, Token
from gatekeeper.analysis.words import BARE_FUNCTIONS, BEFORE_PARENTHESIS, words

# Functions that compute a value from their arguments, from the rows or from the clock, and do nothing else. Left out on
# purpose: what waits (SLEEP, BENCHMARK), locks (GET_LOCK ...), reads files (LOAD_FILE), counts up (NEXTVAL, UUID_SHORT,
# LAST_INSERT_ID), tells of the server or the session (VERSION, USER, CONNECTION_ID, FOUND_ROWS), runs on replication
# (MASTER_POS_WAIT ...), shows values in error texts (EXTRACTVALUE, UPDATEXML), runs on past its limit and KILL on
# MariaDB (REGEXP_REPLACE), needs the server's keys (DES_ENCRYPT), and NAME_CONST. And what crashes a server by a value
# alone: JSON_SCHEMA_VALID (MySQL 9.7.2 by `"pattern": "^(a|b)*c$"` and 20,000 letters), and on geometries (28 of those
# tried crash MariaDB 10.11.19 by 5,000 collections in one another). Sources: MySQL 9 manual, chapter 14; MariaDB
# documentation, "Built-in Functions".
ALLOWED: Final = words(
    """
    abs acos adddate addtime aes_decrypt aes_encrypt any_value ascii asin atan atan2 avg bin bin_to_uuid bit_and
    bit_count bit_length bit_or bit_xor cast ceil ceiling char_length character_length chr coalesce compress
    concat concat_ws conv convert convert_tz cos cot count crc32 cume_dist curdate current_date current_time
    current_timestamp curtime date date_add date_format date_sub datediff day dayname dayofmonth dayofweek
    dayofyear degrees dense_rank elt exp export_set extract field find_in_set first_value floor format
    format_bytes from_base64 from_days from_unixtime get_format greatest group_concat grouping hex hour if
    ifnull inet_aton inet_ntoa inet6_aton inet6_ntoa insert instr is_ipv4 is_ipv6 is_uuid isnull json_array
    json_array_append json_array_insert json_array_intersect json_arrayagg json_compact json_contains
    json_contains_path json_depth json_detailed json_equals json_exists json_extract json_insert json_key_value
    json_keys json_length json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object
    json_object_filter_keys json_object_to_array json_objectagg json_overlaps json_pretty json_query json_quote
    json_remove json_replace json_search json_set json_storage_size json_type json_unquote
    json_valid json_value lag last_day last_value lcase lead least left length ln localtime localtimestamp
    locate log log10 log2 lower lpad ltrim make_set makedate maketime max md5 median microsecond mid min minute
    mod month monthname natural_sort_key now nth_value ntile nullif nvl nvl2 oct octet_length ord percent_rank
    percentile_cont percentile_disc period_add period_diff pi position pow power quarter quote radians rand
    random_bytes rank regexp_instr regexp_like regexp_substr repeat replace reverse right round row_number rpad
    rtrim sec_to_time second sha sha1 sha2 sign sin soundex space sqrt std stddev stddev_pop stddev_samp
    str_to_date strcmp subdate substr substring substring_index subtime sum sysdate tan time time_format
    time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_char to_days to_seconds trim truncate
    ucase uncompress uncompressed_length unhex unix_timestamp upper utc_date utc_time utc_timestamp uuid
    uuid_to_bin var_pop var_samp variance week weekday weekofyear weight_string year yearweek
    """
)

_NAMED_ROWS = frozenset({"INSERT", "REPLACE"})
_BEFORE_TARGET = frozenset({"INSERT", "REPLACE", "INTO", "LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"})
# "( a , b )": what follows the name of a common table expression or of a derived table.
_TYPE_SIZE = re.compile(r"\(n(?:,n)?\)")
_COLUMN_LIST = re.compile(r"\([wq](?:,[wq])*\)")


def called(tokens: Sequence[Token]) -> frozenset[str]:
    """The functions called, in lower case.

    Raises Forbidden for a qualified name (a stored function; rule qualified_function) and for a quoted one (which
    would reach a stored function behind a built-in's name; rule quoted_function).
    """
    kinds = "".join([token.kind for token in tokens])
    names = set()
    at = kinds.find("(")
    while at >= 0:
        if at and tokens[at - 1].kind in "wq" and (name := _call(tokens, kinds, at - 1)):
            names.add(name)
        at = kinds.find("(", at + 1)
    names.update(token.word.lower() for token in tokens if token.word in BARE_FUNCTIONS)
    return frozenset(names)


def _call(tokens: Sequence[Token], kinds: str, at: int) -> str | None:
    """The name of the function that the token before a "(" calls, or None where it calls none."""
    token = tokens[at]
    if token.word in BEFORE_PARENTHESIS or _is_clause(tokens, at):
        return None
    if _is_target(tokens, at) or _is_named_query(tokens, kinds, at):
        return None
    if kinds[at - 1 : at] == ".":
        raise Forbidden(f"{token.text} is called as a stored function", rule="qualified_function")
    if token.kind == QUOTED:
        raise Forbidden(f"{token.text} is called as a function, but quoted", rule="quoted_function")
    return token.text.lower()


def _is_clause(tokens: Sequence[Token], at: int) -> bool:
    """Whether a word that MariaDB takes for a function's name elsewhere opens a clause here, as no call could."""
    match tokens[at].word:
        case "AGAINST":
            return at > 0 and tokens[at - 1].kind == ")"
        case "OF":
            return at > 0 and tokens[at - 1].word == "MEMBER"
        case "LATERAL":
            return any(token.word in {"SELECT", "WITH"} for token in tokens[at + 2 : at + 3])
    return False


def _is_target(tokens: Sequence[Token], at: int) -> bool:
    """Whether the name is the table in `INSERT INTO name (`, the statement's beginning."""
    if tokens[0].word not in _NAMED_ROWS:
        return False
    first = 1
    while first < at and tokens[first].word in _BEFORE_TARGET:
        first += 1
    return at == first or (at == first + 2 and tokens[at - 1].kind == ".")


def _is_named_query(tokens: Sequence[Token], kinds: str, at: int) -> bool:
    """Whether the name is that of a common table expression or derived table, with its columns: `x (a, b) AS (`.

    So is the type in `CAST(x AS name(10, 2))`. A call can't be mistaken for one: no grammar has `AS (` after a call,
    nor a call after `AS` or after ")".
    """
    if at and tokens[at - 1].word == "AS" and _TYPE_SIZE.match(kinds, at + 1):
        return True
    columns = _COLUMN_LIST.match(kinds, at + 1)
    if not columns:
        return False
    if at and (tokens[at - 1].word == "AS" or tokens[at - 1].kind == ")"):
        return True
    return [token.word for token in tokens[columns.end() :][:1]] == ["AS"] and kinds[columns.end() + 1 :][:1] == "("
