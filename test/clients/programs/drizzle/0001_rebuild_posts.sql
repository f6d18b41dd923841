PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_blog_posts` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`author_id` integer NOT NULL,
	`title` text(200) NOT NULL,
	`cover` blob,
	`views` blob DEFAULT '0' NOT NULL,
	`status` text DEFAULT 'draft' NOT NULL,
	FOREIGN KEY (`author_id`) REFERENCES `blog_authors`(`id`) ON UPDATE no action ON DELETE cascade,
	CONSTRAINT "blog_posts_title" CHECK(length("__new_blog_posts"."title") > 0)
);
--> statement-breakpoint
INSERT INTO `__new_blog_posts`("id", "author_id", "title", "cover", "views") SELECT "id", "author_id", "title", "cover", "views" FROM `blog_posts`;--> statement-breakpoint
DROP TABLE `blog_posts`;--> statement-breakpoint
ALTER TABLE `__new_blog_posts` RENAME TO `blog_posts`;--> statement-breakpoint
PRAGMA foreign_keys=ON;--> statement-breakpoint
CREATE INDEX `blog_posts_by_author` ON `blog_posts` (`author_id`,`id`);--> statement-breakpoint
ALTER TABLE `blog_tags` ADD `weight` real DEFAULT 1 NOT NULL;
