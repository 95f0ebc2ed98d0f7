"""How the rules about special tokens are broken."""

from tests.audit.damage import Damage

SPECIAL_DAMAGES = (
    Damage(
        rule="special-caps",
        statements=("update special_token set day_energy_wh = 0 where special_id = {special[0]}",),
        shown="{special[0]}",
    ),
    Damage(
        rule="special-caps",
        statements=(
            "alter table special_token drop constraint special_token_operator_day_nth_key",
            "update special_token set nth = 1 where special_id = {special[1]}",
        ),
        shown="{special[1]}",
    ),
    Damage(
        rule="special-or-sale",
        statements=(
            (
                "update payment set (operator, transaction_id) = (select operator, reference"
                " from special_token where special_id = {special[1]})"
                " where payment_id = {by_vendor}"
            ),
        ),
        shown="{special[1]}",
    ),
    Damage(
        rule="special-or-sale",
        statements=(
            (
                "update key_change_order set (operator, reference) = (select operator, reference"
                " from special_token where special_id = {special[1]})"
                " where order_id = (select order_id from key_change)"
            ),
        ),
        shown="{special[1]}",
    ),
    Damage(
        rule="special-barred",
        statements=("delete from sale_barred where reference = '{special[1]}'",),
        shown="{special[1]}",
    ),
    Damage(
        rule="special-entitled-once",
        statements=(
            "drop index special_token_entitlement",
            (
                "update special_token set (kind, entitlement) = ('free_basic', '202611')"
                " where special_id = {special[2]}"
            ),
        ),
        shown="{meter} free_basic 202611",
    ),
    Damage(
        rule="special-approved",
        statements=("update special_request set judged_by = 'Mary'",),
        shown="{special[2]}",
    ),
    Damage(
        rule="special-approved",
        statements=("update special_token set entitlement = null where special_id = {special[0]}",),
        shown="{special[0]}",
    ),
    Damage(
        rule="special-settled",
        statements=("delete from special_token where special_id = {special[2]}",),
        shown="request {special[2]}",
    ),
    Damage(
        rule="special-carried",
        statements=("update special_token set value = 10050 where special_id = {special[2]}",),
        shown="{special[2]}",
    ),
    Damage(
        rule="identifier-once",
        statements=(
            "drop index special_token_identifier",
            (
                "update special_token set tid = (select tid from special_token"
                " where special_id = {special[0]}) where special_id = {special[1]}"
            ),
        ),
        shown="{meter}",
    ),
    Damage(
        rule="identifier-once",
        statements=(
            (
                "update special_token set tid = (select tid from outcome"
                " where payment_id = {sold[0]}) where special_id = {special[1]}"
            ),
        ),
        shown="{meter}",
    ),
    Damage(
        rule="meter-remembers",
        statements=("update special_token set tid = tid + 2 where special_id = {special[2]}",),
        shown="{meter}",
    ),
    Damage(
        rule="history-append-only",
        statements=("grant update (value) on special_token to stima_app",),
        shown="special_token UPDATE",
    ),
)
