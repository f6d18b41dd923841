-- RedefineTables
PRAGMA defer_foreign_keys=ON;
PRAGMA foreign_keys=OFF;
CREATE TABLE "new_shop_products" (
    "sku" TEXT NOT NULL PRIMARY KEY,
    "stock" INTEGER NOT NULL DEFAULT 0,
    "sold" BIGINT NOT NULL DEFAULT 0,
    "weight" REAL,
    "picture" BLOB,
    "size" TEXT NOT NULL DEFAULT 'SMALL'
);
INSERT INTO "new_shop_products" ("picture", "sku", "sold", "stock", "weight") SELECT "picture", "sku", "sold", "stock", "weight" FROM "shop_products";
DROP TABLE "shop_products";
ALTER TABLE "new_shop_products" RENAME TO "shop_products";
PRAGMA foreign_keys=ON;
PRAGMA defer_foreign_keys=OFF;
