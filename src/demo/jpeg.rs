//! Pictures that look like something and weigh like photos.

use jpeg_encoder::{ColorType, Encoder};

/// A common size of a photo made smaller for the web.
const WIDTH: u16 = 1800;
const HEIGHT: u16 = 1200;
/// JPEG quality of a good camera; with the grain below about a megabyte a picture.
const QUALITY: u8 = 88;

/// A JPEG of an evening sky over hills, with lights; another one for each index.
pub fn sample_photo(index: usize) -> Vec<u8> {
    let pixels = paint(index);
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, QUALITY)
        .encode(&pixels, WIDTH, HEIGHT, ColorType::Rgb)
        .expect("a picture of fixed size in memory can be encoded");
    jpeg
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "colours are clamped to 0..=255, and pictures are not that exact"
)]
fn paint(index: usize) -> Vec<u8> {
    let (width, height) = (usize::from(WIDTH), usize::from(HEIGHT));
    let hue = index as f32 * 0.37;
    let mut noise = Noise((index as u32).wrapping_mul(2_654_435_761) | 1);
    let lights: Vec<(f32, f32, f32)> = (0..24)
        .map(|_| {
            (
                noise.next_unit() * width as f32,
                height as f32 * (0.62 + 0.3 * noise.next_unit()),
                18.0 + 50.0 * noise.next_unit(),
            )
        })
        .collect();
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let v = y as f32 / height as f32;
        for x in 0..width {
            let u = x as f32 / width as f32;
            let hill = 0.62 + 0.06 * (u * 7.0 + hue).sin() + 0.03 * (u * 17.0 - hue).cos();
            let mut colour = if v < hill {
                [
                    110.0 + 120.0 * v + 40.0 * hue.sin(),
                    80.0 + 70.0 * v,
                    150.0 - 40.0 * v + 40.0 * hue.cos(),
                ]
            } else {
                [34.0 - 10.0 * v, 46.0 - 14.0 * v, 40.0]
            };
            for (light_x, light_y, radius) in &lights {
                let (dx, dy) = (x as f32 - light_x, y as f32 - light_y);
                let glow = 1.0 - (dx * dx + dy * dy) / (radius * radius);
                if glow > 0.0 {
                    colour[0] += 190.0 * glow;
                    colour[1] += 150.0 * glow;
                    colour[2] += 70.0 * glow;
                }
            }
            let grain = (noise.next_unit() - 0.5) * 26.0;
            pixels.extend(colour.map(|value| (value + grain).clamp(0.0, 255.0) as u8));
        }
    }
    pixels
}

/// A small generator (xorshift, Marsaglia 2003): the same pictures every time.
struct Noise(u32);

impl Noise {
    fn next_unit(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) as f32 / (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_jpegs_and_differ() {
        let (one, two) = (sample_photo(1), sample_photo(2));
        assert_eq!(one[..3], [0xff, 0xd8, 0xff]);
        assert_eq!(one[one.len() - 2..], [0xff, 0xd9]);
        assert_ne!(one, two);
        assert_eq!(one, sample_photo(1));
    }
}
