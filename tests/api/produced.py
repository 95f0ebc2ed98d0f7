# ruff: noqa: E501 -- tests have the names they have
"""Which codes are documented where, and which test produces each of them over a real socket.

`PRODUCED` is held in two ways, so that it is true in any part of a run: the tests of this directory
fail when one that is named here did not hear what it is named for (`heard` in conftest.py), and
tests/api/test_produced.py fails when a documented code is missing here. A test with parameters must
hear a code in those cases that name it, or in all if none does.
"""

from typing import Final

from vending.api.v1 import problems, tokens
from vending.api.v1.table import OPERATIONS
from vending.xmlvend.faults import BY_CODE, UNSENT, FaultKind

PRODUCED: Final[dict[str, dict[str, str]]] = {
    "v1": {
        "test_produced.py::test_a_live_key_is_told_that_a_server_is_a_sandbox": "sandbox_server",
        "v1/test_account.py::test_a_cursor_that_goes_back_is_a_statement_s_and_goes_back": (
            "cursor_malformed"
        ),
        "v1/test_account.py::test_a_slip_is_proposed_once_however_often_it_is_sent": (
            "deposit_repeated"
        ),
        "v1/test_account.py::test_commission_shows_rates_and_earnings_of_the_month": (
            "request_invalid"
        ),
        "v1/test_batches.py::test_a_clerk_has_a_name_that_can_be_printed": "clerk_malformed",
        "v1/test_batches.py::test_one_batch_is_open_at_a_till": "shift_open",
        "v1/test_callers.py::test_a_key_of_the_sandbox_has_no_account": "sandbox_only",
        "v1/test_callers.py::test_a_register_that_was_never_read_lets_nobody_in": "register_stale",
        "v1/test_callers.py::test_a_revoked_key_ends_within_five_seconds": "credential_revoked",
        "v1/test_callers.py::test_a_secret_that_is_wrong_by_a_letter_is_refused": (
            "credential_refused"
        ),
        "v1/test_callers.py::test_a_suspended_vendor_ends_within_five_seconds": "vendor_suspended",
        "v1/test_callers.py::test_a_token_bound_to_a_certificate_needs_it": "certificate_missing",
        "v1/test_callers.py::test_a_vendor_calls_from_its_own_addresses_only": "address_forbidden",
        "v1/test_callers.py::test_an_expired_key_is_refused": "credential_expired",
        "v1/test_callers.py::test_an_expired_token_is_refused": "access_token_expired",
        "v1/test_callers.py::test_nobody_is_let_in_without_a_credential": "credential_missing",
        "v1/test_callers.py::test_what_is_no_credential_of_ours_is_refused": "access_token_invalid",
        "v1/test_crossing.py::test_an_event_is_not_had_by_an_endpoint_of_one_s_own": (
            "webhook_event_unknown"
        ),
        "v1/test_crossing.py::test_a_name_that_never_was_one_is_not_there": "shift_unknown",
        "v1/test_reception.py::test_a_body_in_another_form_is_refused": (
            "body_encoded content_type_wrong"
        ),
        "v1/test_reception.py::test_a_body_that_is_too_large_is_refused": "body_too_large",
        "v1/test_reception.py::test_a_database_that_is_away_is_said": "database_unavailable",
        "v1/test_reception.py::test_a_day_has_its_quota_and_the_next_one_another": "quota_exceeded",
        "v1/test_reception.py::test_a_refusal_is_one_line_in_the_log_without_the_key": (
            "deposit_unknown"
        ),
        "v1/test_reception.py::test_a_server_with_too_much_to_do_says_when_to_come_back": (
            "overloaded"
        ),
        "v1/test_reception.py::test_a_write_whose_end_nobody_has_seen_is_settled_by_asking_again": (
            "commit_unknown"
        ),
        "v1/test_reception.py::test_what_nobody_foresaw_is_told_without_a_word_of_it": "internal",
        "v1/test_sales.py::test_a_look_up_tells_what_a_clerk_must_know": (
            "meter_number_malformed meter_unknown"
        ),
        "v1/test_sales.py::test_a_meter_blocked_after_its_quote_buys_nothing": "meter_blocked",
        "v1/test_sales.py::test_a_meter_whose_record_is_in_the_way_buys_nothing": (
            "identifiers_exhausted key_expired key_missing key_unfit meter_removed "
            "tariff_category_unknown tariff_unknown"
        ),
        "v1/test_sales.py::test_a_path_that_is_no_reference_is_unknown": "sale_unknown",
        "v1/test_sales.py::test_a_quote_that_has_expired_or_never_was_sells_nothing": (
            "quote_expired quote_unknown"
        ),
        "v1/test_sales.py::test_a_quote_whose_price_has_changed_sells_nothing": "price_changed",
        "v1/test_sales.py::test_a_receipt_has_so_many_copies_and_no_more": "reprints_exhausted",
        "v1/test_sales.py::test_a_reference_with_other_facts_is_refused": "reference_reused",
        "v1/test_sales.py::test_a_sale_that_is_not_made_is_withdrawn": "reference_barred",
        "v1/test_sales.py::test_a_sale_that_takes_longer_is_pending_and_then_found": "sale_pending",
        "v1/test_sales.py::test_a_server_that_does_not_vend_says_so_and_to_ask_by_the_same_reference": (
            "sale_unavailable"
        ),
        "v1/test_sales.py::test_a_token_that_cannot_be_made_is_not_sold": "token_refused",
        "v1/test_sales.py::test_a_vendor_that_asks_for_more_than_its_share_is_told_so": (
            "share_exceeded"
        ),
        "v1/test_sales.py::test_a_vendor_with_too_little_sells_by_the_same_reference_after_a_deposit": (
            "float_insufficient"
        ),
        "v1/test_sales.py::test_the_same_again_at_once_must_be_confirmed": "duplicate_suspected",
        "v1/test_sales.py::test_what_cannot_be_sold_is_refused_and_holds_nothing": (
            "amount_too_large meter_missing sale_amount_missing"
        ),
        "v1/test_sandbox.py::test_the_meter_with_a_minimum_sells_from_there_on": "amount_too_small",
        "v1/test_signatures.py::test_a_signature_that_is_offered_is_verified": "signature_refused",
        "v1/test_signatures.py::test_a_signed_request_is_believed_once": "signature_repeated",
        "v1/test_signatures.py::test_where_signatures_are_demanded_none_is_not_enough": (
            "signature_missing"
        ),
        "v1/test_tokens.py::test_a_client_fetches_a_token_by_its_secret_and_calls_with_it": (
            "scope_missing"
        ),
        "v1/test_webhooks.py::test_a_secret_is_replaced_with_an_overlap_or_without": (
            "webhook_endpoint_malformed webhook_rotation_under_way"
        ),
        "v1/test_webhooks.py::test_a_time_is_replayed": "webhook_endpoint_disabled",
        "v1/test_webhooks.py::test_an_endpoint_is_changed_disabled_and_deleted": (
            "webhook_endpoint_unknown webhook_url_refused"
        ),
        "v1/test_webhooks.py::test_secrets_that_do_not_open_are_said": "webhook_secrets_sealed",
        "v1/test_webhooks.py::test_there_are_only_so_many_endpoints": "webhook_endpoints_too_many",
    },
    "token": {
        "v1/test_tokens.py::test_a_client_fetches_a_token_by_signing": "assertion_repeated",
        "v1/test_tokens.py::test_a_client_fetches_tokens_from_its_vendor_s_addresses_only": (
            "address_forbidden"
        ),
        "v1/test_tokens.py::test_a_client_that_is_not_known_is_challenged": "credential_refused",
        "v1/test_tokens.py::test_a_form_that_is_too_large_or_packed_is_not_read": (
            "body_encoded body_too_large"
        ),
        "v1/test_tokens.py::test_a_narrower_scope_may_be_asked_for_and_no_wider": (
            "scope_missing scope_unknown"
        ),
        "v1/test_tokens.py::test_a_register_that_was_never_read_gives_no_token": "register_stale",
        "v1/test_tokens.py::test_a_revoked_client_ends_with_its_tokens": "credential_revoked",
        "v1/test_tokens.py::test_a_suspended_vendor_fetches_no_token": "vendor_suspended",
        "v1/test_tokens.py::test_a_token_can_be_fetched_so_often_and_no_oftener": "quota_exceeded",
        "v1/test_tokens.py::test_an_assertion_that_cannot_be_written_down_now_is_good_later": (
            "database_unavailable"
        ),
        "v1/test_tokens.py::test_an_expired_client_fetches_no_token": "credential_expired",
        "v1/test_tokens.py::test_another_key_signs_for_nobody": "assertion_refused",
        "v1/test_tokens.py::test_what_is_no_request_for_a_token_is_said": (
            "content_type_wrong grant_unsupported request_malformed token_request_invalid"
        ),
        "v1/test_tokens.py::test_what_nobody_foresaw_is_told_without_a_word_of_it": "internal",
    },
    "xmlvend": {
        "xmlvend/test_accounts.py::test_a_debt_is_paid_once_and_the_receipt_has_what_is_left": (
            "reference_reused"
        ),
        "xmlvend/test_accounts.py::test_advice_about_a_payment_has_the_three_outcomes_of_a_sale": (
            "debt_exceeded"
        ),
        "xmlvend/test_accounts.py::test_each_kind_of_account_has_its_own_debts_and_its_own_fault": (
            "debt_none service_charge_none"
        ),
        "xmlvend/test_endpoint.py::test_a_body_that_is_too_large_is_not_read": (
            "body_too_large xmlvend_malformed"
        ),
        "xmlvend/test_endpoint.py::test_a_fault_is_wrapped_and_spelled_as_its_sender_wants": (
            "meter_number_malformed"
        ),
        "xmlvend/test_endpoint.py::test_a_message_may_come_gzipped_said_or_not": "body_encoded",
        "xmlvend/test_endpoint.py::test_a_suspended_vendor_is_told_so_within_five_seconds": (
            "vendor_suspended"
        ),
        "xmlvend/test_endpoint.py::test_a_wrong_password_is_refused_and_sells_nothing": (
            "credential_refused"
        ),
        "xmlvend/test_endpoint.py::test_a_till_that_shows_nothing_is_asked_for_something": (
            "credential_missing"
        ),
        "xmlvend/test_endpoint.py::test_a_vendor_calls_from_its_own_addresses_only": (
            "address_forbidden"
        ),
        "xmlvend/test_endpoint.py::test_what_a_key_is_not_for_is_refused": (
            "sandbox_only scope_missing"
        ),
        "xmlvend/test_endpoint.py::test_where_requests_must_be_signed_messages_must_be_as_well": (
            "signature_refused"
        ),
        "xmlvend/test_key_requests.py::test_a_card_tells_the_key_by_its_second_track": "meter_data_invalid",
        "xmlvend/test_key_requests.py::test_what_stands_against_a_change_is_the_precise_fault": (
            "base_date_earlier key_change_waits key_meter_unknown key_not_on_record key_same"
            " meter_card_needed meter_data_insufficient"
        ),
        "xmlvend/test_look_ups.py::test_a_customer_is_known_by_the_meter_alone": "customer_unknown",
        "xmlvend/test_look_ups.py::test_a_shift_is_opened_totalled_closed_and_printed_again": (
            "batch_none batch_total_refused shift_open shift_unknown"
        ),
        "xmlvend/test_look_ups.py::test_a_trial_does_what_a_sale_would_be_refused_for": (
            "amount_too_small"
        ),
        "xmlvend/test_look_ups.py::test_of_batches_within_batches_there_are_shifts_alone": (
            "use_case_unsupported"
        ),
        "xmlvend/test_refusals.py::test_a_meter_for_which_no_token_can_be_made_has_its_fault": (
            "token_refused"
        ),
        "xmlvend/test_refusals.py::test_a_signed_message_is_believed_once_and_from_a_clock_near_ours": (
            "signature_missing signature_repeated"
        ),
        "xmlvend/test_refusals.py::test_a_till_hears_why_a_quote_was_not_sold_under_its_message": (
            "price_changed quote_expired"
        ),
        "xmlvend/test_refusals.py::test_a_till_s_key_ends_when_it_was_said_to": (
            "credential_expired"
        ),
        "xmlvend/test_refusals.py::test_a_till_s_revoked_key_ends_within_five_seconds": (
            "credential_revoked"
        ),
        "xmlvend/test_refusals.py::test_a_token_bound_to_a_certificate_needs_it_at_a_till_as_well": (
            "certificate_missing"
        ),
        "xmlvend/test_refusals.py::test_an_access_token_of_a_till_is_ours_and_has_not_expired": (
            "access_token_expired access_token_invalid"
        ),
        "xmlvend/test_specials.py::TestCaps::test_the_cap_of_a_day_holds_for_energy_and_for_tokens": (
            "daily_cap_reached"
        ),
        "xmlvend/test_specials.py::test_a_message_that_asks_for_something_else_conflicts": "special_conflicts",
        "xmlvend/test_specials.py::test_a_meter_that_is_due_nothing_gets_nothing": "free_units_none",
        "xmlvend/test_specials.py::test_each_thing_wrong_with_a_request_has_its_own_fault": "special_malformed",
        "xmlvend/test_vends.py::test_a_meter_whose_record_is_in_the_way_has_the_precise_fault": (
            "identifiers_exhausted key_expired key_missing key_unfit meter_removed "
            "tariff_category_unknown tariff_unknown"
        ),
        "xmlvend/test_vends.py::test_a_receipt_printed_too_often_is_left_out_and_then_refused": (
            "reprints_exhausted"
        ),
        "xmlvend/test_vends.py::test_a_receipt_that_was_never_printed_is_not_printed_again": (
            "reprint_none"
        ),
        "xmlvend/test_vends.py::test_a_sale_that_is_not_made_yet_is_undone": "reference_barred",
        "xmlvend/test_vends.py::test_an_advice_about_an_unknown_message_bars_it_before_it_arrives": (
            "confirmation_unknown reversal_unknown"
        ),
        "xmlvend/test_vends.py::test_an_exhausted_float_sells_nothing_and_the_same_message_sells_after_a_deposit": (
            "float_insufficient"
        ),
        "xmlvend/test_vends.py::test_each_thing_wrong_with_a_meter_has_its_own_fault": (
            "amount_too_large meter_blocked meter_unknown"
        ),
        "xmlvend/test_vends.py::test_the_same_purchase_again_within_seconds_is_suspected": (
            "duplicate_suspected"
        ),
        "xmlvend/test_vends.py::test_two_vendors_with_the_same_message_do_not_see_each_other": (
            "original_unknown"
        ),
    },
}
"""By surface and test: the codes that it hears there."""

ANYWHERE: Final = {"path_unknown": 404, "method_unknown": 405}
"""What is answered where nothing is served, with no operation behind it."""


def documented() -> dict[str, dict[str, int]]:
    """Return by surface the codes that are documented there, and the status of each.

    At /xmlvend the status says nothing of the code, and is 0 here.
    """
    standard = {kind.code for kind in FaultKind}
    return {
        "v1": {
            kind.code: int(problems.shape_of(kind).status)
            for operation in OPERATIONS
            for kind in problems.possible(operation)
        },
        "token": {kind.code: int(tokens.status_of(kind)) for kind in tokens.ERRORS},
        "xmlvend": dict.fromkeys(
            [kind.code for kind in FaultKind if kind not in UNSENT]
            + [code for code in BY_CODE if code not in standard],
            0,
        ),
    }


def promised(test: str) -> dict[str, set[str]]:
    """Return by surface the codes that a test, named by its file and function, is to hear."""
    return {
        surface: set(tests[test].split()) for surface, tests in PRODUCED.items() if test in tests
    }
