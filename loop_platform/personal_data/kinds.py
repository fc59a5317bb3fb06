"""The kinds of personal data, as Presidio names them, and as placeholders show them: `<PERSON>`."""

KINDS = (
    "PERSON",
    "LOCATION",
    "ORGANIZATION",
    "NRP",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN_CODE",
    "CRYPTO",
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "URL",
    "US_SSN",
    "US_ITIN",
    "US_PASSPORT",
    "US_DRIVER_LICENSE",
    "US_BANK_NUMBER",
    "UK_NHS",
    "MEDICAL_LICENSE",
    "DATE_TIME",
)
"""NRP is a nationality, a religion or a political group."""

LEFT = frozenset({"DATE_TIME"})
"""Not replaced unless the settings name it: it takes "tomorrow" for one, and half of what an
assistant is asked is about tomorrow."""

MEDIA = "MEDIA"
"""In place of pictures, sound and files: nobody looks into them, so they are not kept."""
USER = "USER"
"""In place of the names that an application has for its users."""
