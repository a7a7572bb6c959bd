"""Tables of a label store beside that of its rows: nobody reads them until ase.db searches or writes."""

from __future__ import annotations

from labeling.database import Database, fetch

UNUSED = (
    "initial_magmoms",
    "initial_charges",
    "masses",
    "tags",
    "momenta",
    "dipole",
    "magmoms",
    "magmom",
    "charges",
)
"""Columns of ase.db that no label has."""
TABLES = ("species", "keys", "text_key_values", "number_key_values")


def problems_of_tables(database: Database) -> list[str]:
    """One line for each table that disagrees with the rows.

    Raises:
        Exception: whatever a database says that lacks one.
    """
    given = " OR ".join(f"{name} IS NOT NULL" for name in UNUSED)
    queries = {
        "has values that no label has (magnetic moments, charges, masses, tags, momenta, dipole)": (
            f"SELECT id FROM systems WHERE {given}"
        ),
        "has other elements in the table `species`": (
            "SELECT systems.id FROM systems LEFT JOIN (SELECT id, sum(n) AS total FROM species GROUP BY id) "
            "AS counted ON counted.id = systems.id WHERE total IS NULL OR total != natoms"
        ),
        "has nothing in the table `keys`": "SELECT id FROM systems WHERE id NOT IN (SELECT id FROM keys)",
        **{
            f"is not there, and `{table}` says something of it": (
                f"SELECT DISTINCT id FROM {table} WHERE id NOT IN (SELECT id FROM systems)"
            )
            for table in TABLES
        },
    }
    problems = list[str]()
    for words, sql in queries.items():
        found = sorted(number for (number,) in fetch(database, sql))
        if found:
            more = f" (and {len(found) - 1} more rows)" if len(found) > 1 else ""
            problems.append(f"row {found[0]}: it {words}{more}")
    if not fetch(database, "SELECT value FROM information WHERE name = 'version'"):
        problems.append("the database does not say of which version of ase.db it is")
    return problems
