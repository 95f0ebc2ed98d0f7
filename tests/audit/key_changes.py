"""How the rules about key changes are broken."""

from tests.audit.damage import Damage

OF_REKEYED = "select meter_number from key_change where payment_id = {rekeyed}"

KEY_DAMAGES = (
    Damage(
        rule="codes-same",
        statements=(
            ("insert into key_change_order select order_id + 999, list_id, meter_number, from_sgc,"
            " from_krn, from_ti, from_base, from_ken, to_sgc, to_krn, to_ti, to_base, to_ken,"
            " ordered_by, note, ordered_at from key_change_order"
            f" where meter_number = ({OF_REKEYED})"),
            ("insert into key_change select order_id + 999, null, meter_number,"
            " array[codes[2], codes[1]], issued_at from key_change"),
        ),
        shown="0",
    ),
    Damage(
        rule="codes-sold",
        statements=(
            "update key_change set payment_id = {sold[0]} where payment_id = {rekeyed}",
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="codes-told",
        statements=("update key_change set codes = array[codes[2], codes[1]]",),
        shown="",
    ),
    Damage(
        rule="codes-ordered",
        statements=(
            "delete from key_change_order where order_id = (select order_id from key_change)",
        ),
        shown="",
    ),
    Damage(
        rule="codes-ordered",
        statements=("update key_change_order set list_id = 7",),
        shown="",
    ),
    Damage(
        rule="codes-ordered",
        statements=(
            "update key_change_order set withdrawn_by = 'a person', withdrawn_at = ordered_at",
        ),
        shown="",
    ),
    Damage(
        rule="codes-ordered",
        statements=("update key_change set payment_id = null",),
        shown="",
    ),
    Damage(
        rule="codes-ordered",
        statements=(
            "update key_change set payment_id = null",
            ("update key_change_order set (operator, reference) = ('vendor:acme', 'not barred')"
            " where order_id in (select order_id from key_change)"),
        ),
        shown="",
    ),
    Damage(
        rule="key-followed",
        statements=(f"update meter set krn = 9 where meter_number = ({OF_REKEYED})",),
        shown="0",
    ),
    Damage(
        rule="key-change-due",
        statements=(f"update meter set key_change_due = true where meter_number = ({OF_REKEYED})",),
        shown="0",
    ),
    Damage(
        rule="key-change-due",
        statements=("update meter set key_change_due = false where key_change_due",),
        shown="0",
    ),
)  # fmt: skip
